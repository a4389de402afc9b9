package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// v2 is a header of version 2.
func v2(command, family byte, body string) string {
	return proxyV2 + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

const (
	body4 = "\x0a\x01\x02\x03\x0a\x00\x00\x01\x30\x39\x23\x84"
	body6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x30\x39\x23\x84"
)

var goodHeaders = map[string]string{ // the source, "" if the balancer speaks for itself
	"PROXY TCP4 10.1.2.3 10.0.0.1 12345 9092\r\n":        "10.1.2.3:12345",
	"PROXY TCP6 2001:db8::7 2001:db8::1 12345 9092\r\n":  "[2001:db8::7]:12345",
	"PROXY TCP6 ::ffff:10.1.2.3 2001:db8::1 1 65535\r\n": "10.1.2.3:1",
	"PROXY UNKNOWN\r\n":                             "",
	"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": "",
	v2(0x21, 0x11, body4):                           "10.1.2.3:12345",
	v2(0x21, 0x11, body4+"\x03\x00\x04abcd"):        "10.1.2.3:12345",
	v2(0x21, 0x21, body6):                           "[2001:db8::7]:12345",
	v2(0x20, 0x00, ""):                              "",
	v2(0x20, 0x11, body4):                           "",
	v2(0x21, 0x00, "abc"):                           "",
}

func TestProxyHeader(t *testing.T) {
	for header, want := range goodHeaders {
		const after = "\x00\x00\x00\x10after"
		for name, r := range map[string]*bytes.Reader{"whole": bytes.NewReader([]byte(header + after))} {
			got, err := readProxyHeader(iotest.OneByteReader(r))
			if err != nil || got.IsValid() != (want != "") || want != "" && got.String() != want {
				t.Errorf("%q %s: %v %v, want %s", header, name, got, err, want)
			}
			if r.Len() != len(after) {
				t.Errorf("%q: %d bytes are left of %d", header, r.Len(), len(after))
			}
		}
		for cut := range header {
			if got, err := readProxyHeader(strings.NewReader(header[:cut])); err == nil {
				t.Errorf("%q cut to %d bytes: %v", header, cut, got)
			}
		}
	}
}

func TestBadProxyHeaders(t *testing.T) {
	for _, header := range []string{
		"\x00\x00\x00\x10\x00\x12\x00\x03abcdefgh", "GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 10.1.2.3 10.0.0.1 12345\r\n", "PROXY TCP4 10.1.2.3 10.0.0.1 12345 9092 1\r\n",
		"PROXY TCP4 2001:db8::7 2001:db8::1 12345 9092\r\n", "PROXY TCP6 10.1.2.3 10.0.0.1 12345 9092\r\n", "PROXY TCP4 10.1.2.3 10.0.0.1 65536 9092\r\n",
		"PROXY TCP4 10.1.2.3 10.0.0.1 -1 9092\r\n", "PROXY TCP4  10.1.2.3 10.0.0.1 1 9092\r\n", "PROXY TCP6 fe80::1%eth0 fe80::2 1 9092\r\n", "PROXY UDP4 10.1.2.3 10.0.0.1 1 2\r\n",
		"PROXY TCP4 x y 1 2\r\n", "PROXY TCP4 10.1.2.3 10.0.0.1 12345 9092\n\n\n\n\n" + strings.Repeat("x", 200), "PROXY " + strings.Repeat("x", 200) + "\r\n",
		v2(0x11, 0x11, body4), v2(0x22, 0x11, body4), v2(0x21, 0x12, body4), v2(0x21, 0x31, body4), v2(0x21, 0x21, body4), v2(0x21, 0x11, body4[:11]),
		v2(0x21, 0x11, body4+strings.Repeat("x", maxProxyBinary)),
	} {
		if got, err := readProxyHeader(strings.NewReader(header)); err == nil {
			t.Errorf("%.60q: %v", header, got)
		}
	}
}

func TestProxyHeaderInTime(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() { _, _ = client.Write([]byte("PROXY TCP4 10.")) }()
	if _, err := ReadProxyHeader(server, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	client, server = net.Pipe()
	defer client.Close()
	go func() { _, _ = client.Write([]byte("PROXY TCP4 10.1.2.3 10.0.0.1 12345 9092\r\nx")) }()
	source, err := ReadProxyHeader(server, 10*time.Second)
	if err != nil || source != netip.MustParseAddrPort("10.1.2.3:12345") {
		t.Errorf("%v %v", source, err)
	}
	var next [1]byte
	if _, err := server.Read(next[:]); err != nil || next[0] != 'x' {
		t.Errorf("%q %v", next, err)
	}
}

func FuzzProxyHeader(f *testing.F) {
	for header := range goodHeaders {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		source, err := readProxyHeader(r)
		if err != nil && source.IsValid() {
			t.Errorf("%v with %v", source, err)
		}
		if read := len(data) - r.Len(); read > len(proxyV2)+4+maxProxyBinary {
			t.Errorf("%d bytes read", read)
		}
	})
}

func TestSniff(t *testing.T) {
	for first, want := range map[string]Speech{
		"": Unclear, "\x16": Unclear, "\x16\x03\x01": TLS, "\x16\x03\x03\x02\x00\x01": TLS, "\x15\x03\x01\x00\x02\x02": TLSAlert,
		"\x00\x00\x00\x20\x00\x12": Kafka, "\x00\x00\x00\x20\x00": Unclear, "\x00\x00\x00\x20\x00\xff": Noise, "\x00\x00\x00\x20\x01\x12": Noise,
		"\x00\x00\x00\x00\x00\x12": Noise, "\x06\x40\x00\x00\x00\x00": Kafka, "\x7f\xff\xff\xff\x00\x00": Noise, "\xff\xff\xff\xff": Noise,
		"GET /m": HTTP, "POST /": HTTP, "PRI * ": HTTP, "PROXY ": ProxyHeader, proxyV2[:6]: ProxyHeader, "SSH-2.0": Noise, "\x16\x03\x09\x00": Unclear, // a frame of 369 MB, perhaps
	} {
		if got := Sniff([]byte(first)); got != want {
			t.Errorf("%q: %v, want %v", first, got, want)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("\x16\x03\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if Sniff(data) == Unclear && len(data) >= SniffBytes {
			t.Errorf("%q is unclear", data)
		}
	})
}
