package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limit is a limit that a token bucket holds.
type Limit int

// The limits, with Kafka's own names where Kafka has one.
const (
	// ProducerByteRate is bytes of Produce requests per second.
	ProducerByteRate Limit = iota
	// ConsumerByteRate is bytes of Fetch and ShareFetch answers per second.
	ConsumerByteRate
	// RequestRate is requests per second.
	RequestRate
	// ConnectionCreationRate is new connections per second.
	ConnectionCreationRate
	// ControllerMutationRate is partitions created or deleted per second (KIP-599).
	ControllerMutationRate
	// NumRates is how many there are.
	NumRates
)

// connectionsLimit is the place of `connections` behind the rates.
const connectionsLimit = NumRates

var limitNames = [...]string{
	"producer_byte_rate", "consumer_byte_rate", "request_rate", "connection_creation_rate", "controller_mutation_rate",
	connectionsLimit: "connections",
}

// String is the limit's name in the file and in metrics.
func (l Limit) String() string {
	if l < 0 || int(l) >= len(limitNames) {
		return fmt.Sprintf("limit(%d)", int(l))
	}
	return limitNames[l]
}

// bytes reports whether the limit counts bytes.
func (l Limit) bytes() bool { return l == ProducerByteRate || l == ConsumerByteRate }

// Limits are what one client ID, tenant or slice is held to.
type Limits struct {
	// Rates are per second, 0 for none. They can be below 1.
	Rates [NumRates]float64
	// Connections is how many may be open at once, 0 for no limit.
	Connections int
	// Burst is how much unused rate may be saved up, as time. Default 1s.
	Burst time.Duration
}

const (
	defaultBurst = time.Second
	minBurst     = 10 * time.Millisecond
	maxBurst     = time.Hour
	// suspiciousRate is below what anyone means by bytes per second.
	suspiciousRate = 1000
)

// setting is one limit as the file has it.
type setting struct {
	at    pos
	set   bool
	value float64 // 0: unlimited
	own   bool    // not from defaults
}

// limitSettings is one block of limits as the file has it.
type limitSettings struct {
	limits [NumRates + 1]setting
	burst  time.Duration // 0: not given
}

func limitKeys() []string { return append(limitNames[:len(limitNames):len(limitNames)], "burst") }

// limits decodes a block of limits.
func (r *reporter) limits(n *node, what string) limitSettings {
	var s limitSettings
	o := r.object(n, what, limitKeys()...)
	for l := Limit(0); l <= connectionsLimit; l++ {
		value := o.get(l.String())
		if v, ok := scalar(r, value, l.String(), l.parse); ok {
			s.limits[l] = setting{at: value.at, set: true, value: v}
			if l.bytes() && v > 0 && v < suspiciousRate {
				r.warnf(value.at, "%s: %s is %s per second: is a unit missing?", l, value.text, formatSize(v))
			}
		}
	}
	set(r, o.get("burst"), "burst", durationBetween(minBurst, maxBurst), &s.burst)
	return s
}

// parse reads the value of a limit; 0 stands for unlimited.
func (l Limit) parse(s string) (float64, error) {
	if s == "unlimited" {
		return 0, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%s: a limit is above 0, or unlimited", s)
	}
	read := parseNumber
	switch {
	case l.bytes():
		read = parseSize
	case l == connectionsLimit:
		read = func(s string) (float64, error) {
			n, err := intBetween(0, 1e6)(s)
			return float64(n), err
		}
	}
	v, err := read(s)
	if err != nil {
		return 0, err
	}
	if v == 0 {
		return 0, errors.New("a limit of 0 lets nothing through: use rules to refuse, or unlimited for no limit")
	}
	return v, nil
}

// over merges s key by key over defaults.
func (s limitSettings) over(defaults limitSettings) limitSettings {
	merged := defaults
	for l, own := range s.limits {
		if own.set {
			own.own = true
			merged.limits[l] = own
		}
	}
	if s.burst > 0 {
		merged.burst = s.burst
	}
	return merged
}

// compile returns the limits without their places.
func (s limitSettings) compile() Limits {
	l := Limits{Burst: defaultBurst, Connections: int(s.limits[connectionsLimit].value)}
	for i := range l.Rates {
		l.Rates[i] = s.limits[i].value
	}
	if s.burst > 0 {
		l.Burst = s.burst
	}
	return l
}
