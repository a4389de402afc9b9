package policy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
}

// maxQuantity is above what any machine does, so that a slip of a unit is seen
// and sums cannot overflow.
const maxQuantity = 1e15

// parseNumber reads a plain decimal number, as 20 or 1.5; no sign, no exponent.
func parseNumber(s string) (float64, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a plain number", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a plain number", s)
	}
	if f > maxQuantity {
		return 0, fmt.Errorf("%s is too large", s)
	}
	return f, nil
}

// parseSize reads bytes: a plain number or one with a unit, as 1.5MiB.
func parseSize(s string) (float64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	unit := s[digits:]
	if digits == 0 {
		return 0, fmt.Errorf("%q is not a size: give bytes, as 1000000 or 20MiB", s)
	}
	f, err := parseNumber(s[:digits])
	if err != nil || unit == "" {
		return f, err
	}
	names := make([]string, len(sizeUnits))
	for i, u := range sizeUnits {
		if names[i] = u.name; unit == u.name {
			if f *= u.bytes; f > maxQuantity {
				return 0, fmt.Errorf("%s is too large", s)
			}
			return f, nil
		}
	}
	if trimmed := strings.TrimSpace(unit); trimmed != unit && contains(names, trimmed) {
		return 0, fmt.Errorf("%q: write it without a space, %s%s", s, s[:digits], trimmed)
	}
	hint := ""
	switch word := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(unit), "/s")); word {
	case "k", "m", "g", "kb", "mb", "gb", "kib", "mib", "gib", "ki", "mi", "gi":
		letter := strings.ToUpper(word[:1])
		decimal := strings.Replace(letter, "K", "k", 1) + "B"
		hint = fmt.Sprintf(": write %s%siB (1024) or %s%s (1000)", s[:digits], letter, s[:digits], decimal)
	}
	return 0, fmt.Errorf("%q has the unknown unit %q%s; units are %s", s, unit, hint, strings.Join(names, ", "))
}

// sizeBetween reads a size of whole bytes within a range.
func sizeBetween(least, most int64) func(string) (int64, error) {
	return func(s string) (int64, error) {
		f, err := parseSize(s)
		if err != nil {
			return 0, err
		}
		if f < float64(least) || f > float64(most) {
			return 0, fmt.Errorf("%s is out of range: from %s to %s", s, formatSize(float64(least)), formatSize(float64(most)))
		}
		return int64(f), nil
	}
}

// formatSize writes bytes for people, exact where a unit divides them.
func formatSize(bytes float64) string {
	for _, i := range []int{2, 1, 0, 5, 4, 3} {
		u := sizeUnits[i]
		if n := bytes / u.bytes; n >= 1 && n == float64(int64(n)) {
			return strconv.FormatFloat(n, 'f', -1, 64) + u.name
		}
	}
	for _, i := range []int{2, 1, 0} {
		if u := sizeUnits[i]; bytes >= u.bytes {
			return strconv.FormatFloat(bytes/u.bytes, 'f', 1, 64) + u.name
		}
	}
	return strconv.FormatFloat(bytes, 'f', -1, 64) + " bytes"
}

// durationBetween reads a duration in Go's syntax within a range.
func durationBetween(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || s == "0" {
			if _, plain := parseNumber(s); plain == nil {
				return 0, fmt.Errorf("%s needs a unit, as in %ss", s, s)
			}
			return 0, fmt.Errorf("%q is not a duration: write it as 500ms, 10s or 5m", s)
		}
		if d < least || d > most {
			return 0, fmt.Errorf("%s is out of range: from %s to %s", s, formatDuration(least), formatDuration(most))
		}
		return d, nil
	}
}

// formatDuration is time.Duration.String without the zeros at its end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// intBetween reads a whole number within a range.
func intBetween(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || strings.HasPrefix(s, "+") {
			return 0, fmt.Errorf("%q is not a whole number", s)
		}
		if n < least || n > most {
			return 0, fmt.Errorf("%d is out of range: from %d to %d", n, least, most)
		}
		return n, nil
	}
}

// span is a range of whole numbers, both ends included.
type span struct{ first, last int }

func (s span) count() int { return s.last - s.first + 1 }

func (s span) String() string {
	if s.first == s.last {
		return strconv.Itoa(s.first)
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}

// spanBetween reads a range as 1-32, or a single number.
func spanBetween(least, most int) func(string) (span, error) {
	number := intBetween(least, most)
	return func(s string) (span, error) {
		from, to, isRange := strings.Cut(s, "-")
		if !isRange {
			to = from
		}
		first, err := number(strings.TrimSpace(from))
		if err != nil {
			return span{}, fmt.Errorf("%q: %w; write a range as 1-32", s, err)
		}
		last, err := number(strings.TrimSpace(to))
		if err != nil {
			return span{}, fmt.Errorf("%q: %w; write a range as 1-32", s, err)
		}
		if last < first {
			return span{}, fmt.Errorf("%q ends before it begins", s)
		}
		return span{first, last}, nil
	}
}

// endpoint is a host and a port as written.
type endpoint struct {
	host string // without brackets; "" for all interfaces
	port int
}

// parseEndpoint reads host:port, with an IPv6 address in brackets. leastPort 0
// lets the system choose.
func parseEndpoint(leastPort int, needHost bool) func(string) (endpoint, error) {
	return func(s string) (endpoint, error) {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			return endpoint{}, fmt.Errorf("%q is not host:port", s)
		}
		if host == "" && needHost {
			return endpoint{}, fmt.Errorf("%q has no host", s)
		}
		if host != "" {
			if host, err = parseHost(host); err != nil {
				return endpoint{}, fmt.Errorf("%q: %w", s, err)
			}
		}
		n, err := intBetween(leastPort, 65535)(port)
		if err != nil {
			return endpoint{}, fmt.Errorf("%q: port %w", s, err)
		}
		return endpoint{host, n}, nil
	}
}

// parseHost checks an IP address or a host name; no scheme, no port, no path.
func parseHost(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	ok := s != "" && len(s) <= 253
	for i := range len(s) {
		ok = ok && (isPartByte(s[i]) || s[i] == '.')
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		ok = ok && label != "" && len(label) <= 63
	}
	if !ok {
		return "", fmt.Errorf("%q is not a host name or an IP address", s)
	}
	return s, nil
}

// parseAdvertisedHost is parseHost without the addresses nobody can connect to.
func parseAdvertisedHost(s string) (string, error) {
	if anyHost(s) {
		return "", fmt.Errorf("clients cannot connect to %q: give the host name or address they reach", s)
	}
	return parseHost(s)
}

// anyHost reports whether listening on host means all interfaces.
func anyHost(host string) bool {
	if host == "" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}
