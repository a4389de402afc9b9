package policy

import "fmt"

// descriptorsPerClient are the client's socket and the one to its broker.
const descriptorsPerClient = 2

// descriptorsAside is what the process needs besides: logs, health checks, the
// service clients.
const descriptorsAside = 100

// FileLimitProblems compares max_connections with the process's own limit on open
// files (RLIMIT_NOFILE) and warns if that many clients cannot be served. It is
// apart from [Load] since it depends on where it runs.
func FileLimitProblems(p *Policy) Problems {
	limit, ok := openFileLimit()
	if !ok {
		return nil
	}
	return p.fileLimitProblems(limit)
}

func (p *Policy) fileLimitProblems(limit uint64) Problems {
	ports := 0
	for _, l := range p.Listeners {
		ports++
		for _, r := range l.BrokerPorts {
			ports += int(r.LastNode-r.FirstNode) + 1
		}
	}
	need := descriptorsPerClient*p.Gateway.MaxConnections + ports + descriptorsAside
	if uint64(need) <= limit {
		return nil
	}
	at := p.positions.maxConnections
	return Problems{{
		File: p.File, Line: max(at.line, 1), Column: max(at.column, 1), Warning: true,
		Text: fmt.Sprintf("max_connections: %d clients need about %d open files, the limit here is %d (ulimit -n, LimitNOFILE=): raise that, or lower max_connections",
			p.Gateway.MaxConnections, need, limit),
	}}
}
