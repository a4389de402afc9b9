//go:build !linux

package proxy

import "errors"

func (b *wire) splices(int) bool { return false }

func (b *wire) splice(n int) (int, error) { return n, errors.ErrUnsupported }
