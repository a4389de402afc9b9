package slice

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"sluice/protocol"
)

// versionsAtOnce is how many brokers are asked for their versions at the same time.
const versionsAtOnce = 8

// Versions are the API versions that all brokers of the cluster have in common:
// in a rolling upgrade, those of the older ones. A broker that does not answer
// counts with what it last said. The first call waits until a broker has
// answered, or ctx ends.
func (s *Slice) Versions(ctx context.Context) (*protocol.Versions, error) {
	if v := s.versions.Load(); v != nil {
		return v, nil
	}
	select {
	case <-s.versionsReady:
		return s.versions.Load(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("slice %s: API versions are not known yet (%s): %w", s.o.Name, s.Health().Err, ctx.Err())
	case <-s.ctx.Done():
		return nil, fmt.Errorf("slice %s: %w", s.o.Name, ErrClosed)
	}
}

// versionsState is what the versions goroutine remembers.
type versionsState struct {
	client *kgo.Client // a new one may be another cluster: its node ids mean something else
	last   map[int32]protocol.Versions
}

// wantVersions has the brokers asked for their versions: always when there are
// other brokers than before, else once in a regular interval, however often the
// topology is refreshed in between. Called by the refreshing goroutine only.
func (s *Slice) wantVersions(moved bool) {
	if moved || time.Since(s.versionsAsked) >= s.o.RefreshEvery*8/10 {
		s.versionsAsked = time.Now()
		signal(s.versionsDue)
	}
}

// versionsLoop is apart from refreshing, so that a broker that hangs does not
// delay those who wait for a topology.
func (s *Slice) versionsLoop() {
	var state versionsState
	var again <-chan time.Time
	for failed := 0; ; {
		select {
		case <-s.ctx.Done():
			return
		case <-s.versionsDue:
		case <-again:
		}
		again = nil
		if s.askVersions(&state); s.versions.Load() == nil {
			failed++
			again = time.After(backoff(failed))
		}
	}
}

// askVersions asks all brokers and publishes what they have in common.
func (s *Slice) askVersions(state *versionsState) {
	cl, brokers := s.client.Load(), s.Brokers()
	if state.client != cl {
		*state = versionsState{client: cl}
	}
	next := make(map[int32]protocol.Versions, len(brokers))
	var failed attempts
	for i, answer := range askEach(s.ctx, cl, brokers) {
		b := brokers[i]
		if answer.err != nil {
			failed.add(fmt.Sprintf("broker %d at %s", b.ID, b.address()), answer.err)
			if old, ok := state.last[b.ID]; ok {
				next[b.ID] = old
			}
			continue
		}
		next[b.ID] = answer.versions
	}
	if s.ctx.Err() != nil {
		return
	}
	state.last = next
	s.noteVersionsErr(failed)
	s.publishVersions(next)
}

type versionsAnswer struct {
	versions protocol.Versions
	err      error
}

// askEach asks every broker, a few at a time; the answers are in their order.
func askEach(ctx context.Context, cl *kgo.Client, brokers []Broker) []versionsAnswer {
	answers := make([]versionsAnswer, len(brokers))
	slots := make(chan struct{}, versionsAtOnce)
	var wg sync.WaitGroup
	for i, b := range brokers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i].versions, answers[i].err = askOne(ctx, cl.Broker(int(b.ID)))
		})
	}
	wg.Wait()
	return answers
}

func askOne(ctx context.Context, b *kgo.Broker) (protocol.Versions, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+answerTimeout)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = softwareName, softwareVersion
	resp, err := req.RequestWith(ctx, b)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return protocol.Versions{}, err
	}
	return protocol.VersionsOf(resp), nil
}

func (s *Slice) publishVersions(of map[int32]protocol.Versions) {
	var common protocol.Versions
	first := true
	for _, v := range of {
		if first {
			common, first = v, false
			continue
		}
		common = common.Intersect(v)
	}
	if first {
		return
	}
	if s.versions.Swap(&common) == nil {
		close(s.versionsReady)
	}
}

// noteVersionsErr keeps for Health which brokers did not answer. Clients that are
// sent to them will fail too: often the addresses that brokers advertise cannot
// be reached from here.
func (s *Slice) noteVersionsErr(failed attempts) {
	if len(failed.errs) == 0 {
		s.versionsErr.Store(nil)
		return
	}
	why := "brokers that the cluster lists do not answer at the address they advertise: " + failed.Error()
	if s.versionsErr.Swap(&why) == nil {
		s.log.Warn("brokers do not answer", zap.Error(failed))
	}
}
