//go:build !linux

package load

import "time"

func ownThread() {}

func preciseSleep(d time.Duration) { time.Sleep(d) }
