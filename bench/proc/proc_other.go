//go:build !linux

package proc

import (
	"errors"
	"time"
)

var errLinux = errors.New("processor time and memory of a process: Linux only")

// CPU is known on Linux only.
func CPU(int) (time.Duration, error) { return 0, errLinux }

// RSS is known on Linux only.
func RSS(int) (int64, error) { return 0, errLinux }

// PeakRSS is known on Linux only.
func PeakRSS(int) (int64, error) { return 0, errLinux }

// ResetPeak is known on Linux only.
func ResetPeak(int) error { return errLinux }

// OpenFiles is known on Linux only.
func OpenFiles() (uint64, error) { return 0, errLinux }

// LoadAverage is known on Linux only.
func LoadAverage() float64 { return 0 }
