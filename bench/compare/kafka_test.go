package main

import (
	"testing"
)

func TestWhatTheToolsSayIsRead(t *testing.T) {
	const produced = `50000 records sent, 9998.0 records/sec (9.53 MB/sec), 1.0 ms avg latency, 5.0 ms max latency.
100000 records sent, 20000.000000 records/sec (19.07 MB/sec), 11.62 ms avg latency, 296.00 ms max latency, 1 ms 50th, 5 ms 95th, 6 ms 99th, 7 ms 99.9th.
`
	if s, err := produceSeconds(produced, 100_000); err != nil || s != 5 {
		t.Errorf("%v %v", s, err)
	}
	if _, err := produceSeconds(produced, 100_001); err == nil {
		t.Error("fewer records were sent")
	}
	const consumed = `start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-01-01 10:00:00:000, 2026-01-01 10:00:04:000, 95.3674, 23.8, 100000, 25000.0, 1000, 2500, 31.8, 33333.3
`
	if s, err := consumeSeconds(consumed, 100_000); err != nil || s != 2.5 {
		t.Errorf("%v %v", s, err)
	}
	if _, err := consumeSeconds(consumed, 100_001); err == nil {
		t.Error("fewer records were read")
	}
	for _, out := range []string{"", "WARN", "a, b\n1"} {
		if _, err := consumeSeconds(out, 1); err == nil {
			t.Errorf("%q is a table", out)
		}
	}
}
