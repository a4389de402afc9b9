package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"sync"

	"sluice/protocol"
	"sluice/proxy/policy"
	"sluice/proxy/slice"
)

// virtual is the cluster that a tenant sees under one snapshot: its slices as one. It
// never changes.
type virtual struct {
	tenant *policy.Tenant
	slices []*slice.Slice // the home first
	slots  []int          // of each
}

// virtual is what a tenant sees.
func (s *snapshot) virtual(t *policy.Tenant) *virtual {
	of := t.Slices()
	v := &virtual{tenant: t, slices: make([]*slice.Slice, len(of)), slots: make([]int, len(of))}
	for i, p := range of {
		v.slices[i], v.slots[i] = s.slices[p.Name], p.Slot
	}
	return v
}

// Slots are those of the tenant's slices, its home first.
func (v *virtual) Slots() []int { return v.slots }

// Owner is the slot of the slice in which something of that name lives.
func (v *virtual) Owner(r protocol.Resource, name string) int { return v.tenant.Owner(r, name).Slot }

// slice is the one with that slot; nil if the tenant does not reach it.
func (v *virtual) slice(slot int) *slice.Slice {
	if i := slices.Index(v.slots, slot); i >= 0 {
		return v.slices[i]
	}
	return nil
}

// ClusterID is the cluster's own for a tenant of one slice. For one of several it is
// made of their names, so that it is the same at every listener of every gateway with
// the same file, whatever can be reached, and another for those who see another whole.
func (v *virtual) ClusterID() string {
	if len(v.slices) == 1 {
		return v.slices[0].ClusterID()
	}
	names := make([]string, len(v.slices))
	for i, s := range v.slices {
		names[i] = s.Name()
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		sum.Write([]byte(name + "\n"))
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16])
}

// versions are what all slices have in common that have ever been reached: one that is
// down from the start does not keep clients from the others. The first call waits until
// each has answered, or ctx ends.
func (v *virtual) versions(ctx context.Context) (*protocol.Versions, error) {
	if len(v.slices) == 1 {
		return v.slices[0].Versions(ctx)
	}
	each := make([]*protocol.Versions, len(v.slices))
	errs := make([]error, len(v.slices))
	var wg sync.WaitGroup
	for i, s := range v.slices {
		wg.Go(func() { each[i], errs[i] = s.Versions(ctx) })
	}
	wg.Wait()
	each = slices.DeleteFunc(each, func(v *protocol.Versions) bool { return v == nil })
	if len(each) == 0 {
		return nil, errors.Join(errs...)
	}
	return protocol.Span(each), nil
}

// CachedTopicName is the name of the topic with that id in any of the slices, as far as
// is known without asking them.
func (v *virtual) CachedTopicName(id [16]byte) (string, bool) {
	for _, s := range v.slices {
		if name, ok := s.CachedTopicName(id); ok {
			return name, true
		}
	}
	return "", false
}

// Partitions costs nothing: who asks for what is denied must not make work by it.
func (v *virtual) Partitions(topic string) int {
	s := v.slices[0]
	if len(v.slices) > 1 {
		s = v.slice(v.Owner(protocol.Topic, topic))
	}
	return s.Partitions(topic)
}
