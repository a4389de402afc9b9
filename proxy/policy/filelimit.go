package policy

import "fmt"

// descriptorsPerClient are the client's socket and the one to its broker.
const descriptorsPerClient = 2

// FileLimitProblems compares max_connections with the process's own limit on open
// files (RLIMIT_NOFILE) and warns if that is below two for each client. The few
// that listeners and logs take are not counted: they would make a limit of 20000
// too low for the default of 10000 clients. It is apart from [Load] since it
// depends on where it runs.
func FileLimitProblems(p *Policy) Problems {
	limit, ok := openFileLimit()
	if !ok {
		return nil
	}
	return p.fileLimitProblems(limit)
}

func (p *Policy) fileLimitProblems(limit uint64) Problems {
	need := descriptorsPerClient * p.Gateway.MaxConnections
	if uint64(need) <= limit {
		return nil
	}
	at := p.positions.maxConnections
	return Problems{{
		File: p.File, Line: max(at.line, 1), Column: max(at.column, 1), Warning: true,
		Text: fmt.Sprintf("max_connections: %d clients need %d open files, two each, the limit here is %d (ulimit -n, LimitNOFILE=): raise that, or lower max_connections",
			p.Gateway.MaxConnections, need, limit),
	}}
}
