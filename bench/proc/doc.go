// Package proc reads what a process has cost: processor time to the nanosecond,
// resident memory and its peak. Linux only.
package proc
