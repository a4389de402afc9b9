//go:build !linux

package proxy

import (
	"context"
	"errors"
	"sync"
	"syscall"
)

// loop is for Linux alone: elsewhere each half has a goroutine.
type loop struct{ running *sync.WaitGroup }

func startLoops(context.Context, *sync.WaitGroup) ([]*loop, error) { return nil, nil }

func (l *loop) add(syscall.RawConn, *half) error { return errors.ErrUnsupported }
func (l *loop) remove(*half)                     {}
func (l *loop) later(*half)                      {}
func (l *loop) handOver()                        {}
