package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// How the answers of several slices become one. An error of one slice stays with the
// elements that it is about; an answer that has only one code for all of it has the
// first error.

// Join puts the answers of the slices to the parts of a divided request together, in
// the order of the parts; the first answer takes in the others. Each answer has gone
// through Virtualize and Filter. req is the request that was divided.
func (a *API) Join(req kmsg.Request, answers []Answer, v VirtualCluster) kmsg.Response {
	resp := a.join(req, answers, v)
	var throttle int32
	for _, answer := range answers {
		if t, ok := answer.Resp.(kmsg.ThrottleResponse); ok {
			ms, _ := t.Throttle()
			throttle = max(throttle, ms)
		}
	}
	if t, ok := resp.(kmsg.SetThrottleResponse); ok {
		t.SetThrottle(throttle)
	}
	return resp
}

// joined wraps the join of a row, or its merge.
func joined[Q kmsg.Request, R kmsg.Response](r row[Q, R]) func(kmsg.Request, []Answer, VirtualCluster) kmsg.Response {
	join := r.join
	if join == nil {
		join = inTurn[Q](r.merge)
	}
	return func(req kmsg.Request, answers []Answer, v VirtualCluster) kmsg.Response {
		typed := make([]slotAnswer[R], 0, len(answers))
		for _, a := range answers {
			typed = append(typed, slotAnswer[R]{a.Slot, a.Resp.(R)})
		}
		return join(req.(Q), typed, v)
	}
}

// inTurn joins by taking one answer after the other into the first.
func inTurn[Q kmsg.Request, R kmsg.Response](take func(first, other R)) func(Q, []slotAnswer[R], VirtualCluster) R {
	return func(_ Q, answers []slotAnswer[R], _ VirtualCluster) R {
		first := answers[0].resp
		for _, a := range answers[1:] {
			take(first, a.resp)
		}
		return first
	}
}

// firstError keeps a code, and takes the other if it is none.
func firstError(code *int16, message **string, otherCode int16, otherMessage *string) {
	if *code == codeNone && otherCode != codeNone {
		*code, *message = otherCode, otherMessage
	}
}

// union adds to s what others has and s has not, as key tells.
func union[E any, K comparable](s, others []E, key func(*E) K) []E {
	has := make(map[K]struct{}, len(s))
	for i := range s {
		has[key(&s[i])] = struct{}{}
	}
	for i := range others {
		k := key(&others[i])
		if _, ok := has[k]; !ok {
			has[k] = struct{}{}
			s = append(s, others[i])
		}
	}
	return s
}
