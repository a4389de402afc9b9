package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// proxyV2 is what a header of version 2 of the PROXY protocol begins with.
const proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"

// Bounds of the two forms, in bytes. A line of version 1 has at most 107 with its
// end. Version 2 may have 64 KiB, of which only the addresses are of interest.
const (
	maxProxyLine   = 107
	maxProxyBinary = 4 << 10
)

// errNotProxy is what a connection from a balancer gets that does not begin as it
// should.
var errNotProxy = errors.New("no header of the PROXY protocol: the balancer must send it on every connection")

// ReadProxyHeader reads the header of the PROXY protocol, version 1 or 2, that a
// balancer sends ahead, and not one byte more. The source is whom the balancer
// speaks for; it is not valid when the balancer speaks for itself, as in its health
// checks. It must be read only from balancers that are known: anyone can write one.
//
// The whole header must be there within the timeout.
func ReadProxyHeader(conn net.Conn, timeout time.Duration) (source netip.AddrPort, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return netip.AddrPort{}, err
	}
	source, err = readProxyHeader(conn)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("PROXY protocol: %w", err)
	}
	return source, conn.SetReadDeadline(time.Time{})
}

func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	// Both forms are longer than the signature of version 2.
	var start [len(proxyV2)]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(start[:]) == proxyV2:
		return readProxyBinary(r)
	case bytes.HasPrefix(start[:], []byte("PROXY ")):
		return readProxyLine(r, start[:])
	}
	return netip.AddrPort{}, errNotProxy
}

// readProxyLine reads the rest of "PROXY TCP4 source destination port port\r\n".
func readProxyLine(r io.Reader, start []byte) (netip.AddrPort, error) {
	line := start
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxProxyLine {
			return netip.AddrPort{}, errors.New("a line of version 1 that does not end")
		}
		var next [1]byte // what follows the line belongs to the client
		if _, err := io.ReadFull(r, next[:]); err != nil {
			return netip.AddrPort{}, err
		}
		line = append(line, next[0])
	}
	words := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if len(words) >= 2 && words[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	bad := fmt.Errorf("the line %q is not of version 1", line)
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return netip.AddrPort{}, bad
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		address, err := netip.ParseAddr(words[2+i])
		port, portErr := strconv.ParseUint(words[4+i], 10, 16)
		if err != nil || portErr != nil || address.Is4() != (words[1] == "TCP4") || address.Zone() != "" {
			return netip.AddrPort{}, bad
		}
		ends[i] = netip.AddrPortFrom(address.Unmap(), uint16(port))
	}
	return ends[0], nil
}

// Commands, and families with protocols, of version 2.
const (
	proxyLocal, proxyProxy          = 0x20, 0x21
	proxyUnspec, proxyTCP4, proxyV6 = 0x00, 0x11, 0x21
)

// readProxyBinary reads what follows the signature of version 2.
func readProxyBinary(r io.Reader) (netip.AddrPort, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	command, family, length := head[0], head[1], int(binary.BigEndian.Uint16(head[2:]))
	if length > maxProxyBinary {
		return netip.AddrPort{}, fmt.Errorf("a header of %d bytes; at most %d are taken", length, maxProxyBinary)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return netip.AddrPort{}, err
	}
	size := 4
	switch {
	case command == proxyLocal, command == proxyProxy && family == proxyUnspec:
		return netip.AddrPort{}, nil
	case command != proxyProxy:
		return netip.AddrPort{}, fmt.Errorf("version and command %#x are not of version 2", command)
	case family == proxyV6:
		size = 16
	case family != proxyTCP4:
		return netip.AddrPort{}, fmt.Errorf("family and protocol %#x are not TCP over IPv4 or IPv6", family)
	}
	if length < 2*size+4 {
		return netip.AddrPort{}, fmt.Errorf("%d bytes are too few for two addresses", length)
	}
	address, _ := netip.AddrFromSlice(body[:size])
	return netip.AddrPortFrom(address.Unmap(), binary.BigEndian.Uint16(body[2*size:])), nil
}
