package target

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"
)

// haproxyConfig is TCP mode with splicing allowed, one process, and a thread for
// each processor, which is HAProxy's default.
const haproxyConfig = `global
    maxconn 7500
defaults
    mode tcp
    maxconn 7500
    option splice-auto
    option clitcpka
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen kafka
    bind %s backlog 8192
    server broker %s
`

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

// HAProxy starts HAProxy in TCP mode, at an address, in front of a broker.
func HAProxy(dir, address, broker string) (*Target, error) {
	t := &Target{Name: "haproxy", Address: address, Bootstrap: address}
	_, port, _ := strings.Cut(address, ":")
	path, err := write(dir, "haproxy-"+port+".cfg", fmt.Sprintf(haproxyConfig, t.Address, broker))
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
