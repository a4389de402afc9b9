package target

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"sluice/bench/proc"
)

// The two ways of splicing. By itself HAProxy splices a stream that keeps its buffer
// full, which those of Kafka clients hardly do; that is what people run. To splice
// everything is not its default, and costs less for large frames and more for small.
const (
	spliceAuto   = "option splice-auto"
	spliceAlways = "option splice-request\n    option splice-response"
)

// haproxyConfig is TCP mode, one process, and a thread for each processor, which is
// HAProxy's default.
const haproxyConfig = `global
    maxconn %[1]d
defaults
    mode tcp
    maxconn %[1]d
    %[2]s
    option clitcpka
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen kafka
    bind %[3]s backlog 8192%[5]s
    server broker %[4]s
`

// haproxyTLS encrypts as Go does where both sides are free to choose; else HAProxy
// would take AES with 256 bits, at a price.
const haproxyTLS = " ssl crt %s ciphersuites TLS_AES_128_GCM_SHA256"

// maxConns is how many connections HAProxy is told to take: it does not start if the
// limit on open files is below two for each and a quarter of a pipe, with two ends.
func maxConns() int {
	const most, each, rest = 7500, 2.5, 200
	limit, err := proc.OpenFiles()
	if err != nil {
		return most
	}
	return max(100, min(most, int((float64(limit)-rest)/each)))
}

// HaveHAProxy reports whether HAProxy is installed.
func HaveHAProxy() bool {
	_, err := exec.LookPath("haproxy")
	return err == nil
}

// FreeAddress is a loopback address where nobody listens now.
func FreeAddress() (string, error) {
	port, err := freePorts(1)
	return loopback(port), err
}

// HAProxy starts HAProxy in TCP mode, at an address, in front of a broker. With splice
// it splices everything. With a certificate, clients speak TLS to it, and it speaks
// plain text to the broker.
func HAProxy(dir, name, address, broker string, splice bool, own *Certificate) (*Target, error) {
	t := &Target{Name: name, Address: address, Bootstrap: address}
	option, bind := spliceAuto, ""
	if splice {
		option = spliceAlways
	}
	if own != nil {
		t.CA, bind = own.PEM, fmt.Sprintf(haproxyTLS, own.BothFile)
	}
	_, port, _ := strings.Cut(address, ":")
	path, err := write(dir, "haproxy-"+port+".cfg", fmt.Sprintf(haproxyConfig, maxConns(), option, t.Address, broker, bind))
	if err != nil {
		return nil, err
	}
	if t.child, err = start("haproxy", "-db", "-f", path); err != nil {
		return nil, fmt.Errorf("haproxy: %w", err)
	}
	t.PID = t.child.cmd.Process.Pid
	if err := t.child.ready(func() error { return connects(t.Address) }); err != nil {
		t.Stop()
		return nil, fmt.Errorf("haproxy: %w", err)
	}
	return t, nil
}

func connects(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err
}
