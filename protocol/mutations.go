package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// Mutates reports whether an API creates or deletes partitions, which
// controller_mutation_rate limits (KIP-599).
func Mutates(key int16) bool {
	return key == KeyCreateTopics || key == KeyDeleteTopics || key == KeyCreatePartitions
}

// KnowsQuotaExceeded reports whether clients of that version understand
// THROTTLING_QUOTA_EXCEEDED (KIP-599); older ones can only be held.
func KnowsQuotaExceeded(key, version int16) bool {
	switch key {
	case KeyCreateTopics:
		return version >= 6
	case KeyDeleteTopics:
		return version >= 5
	case KeyCreatePartitions:
		return version >= 3
	}
	return false
}

// Topics is what a slice knows of its topics.
type Topics interface {
	// Partitions is how many partitions a topic has, 0 if it is not known.
	Partitions(topic string) int
	// CachedTopicName is the name of the topic with that id, without asking a broker.
	CachedTopicName(id [16]byte) (string, bool)
}

// SplitMutations takes out of a request the topics for whose partitions take says
// no, and answers those with THROTTLING_QUOTA_EXCEEDED; like [API.Split]. A topic
// is asked for with the number of partitions that it creates or deletes, at least
// one. Requests that only validate cost nothing.
func SplitMutations(req kmsg.Request, topics Topics, take func(partitions int) bool) (refused kmsg.Response, rest bool) {
	const message = "The throttling quota has been exceeded."
	code := func(n int) int16 {
		if take(max(n, 1)) {
			return codeNone
		}
		return codeThrottlingQuotaExceeded
	}
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		if r.ValidateOnly {
			return nil, true
		}
		resp := kmsg.NewPtrCreateTopicsResponse()
		r.Topics, resp.Topics = refuse(r.Topics,
			func(t *kmsg.CreateTopicsRequestTopic) int16 {
				return code(max(int(t.NumPartitions), len(t.ReplicaAssignment)))
			},
			func(t *kmsg.CreateTopicsRequestTopic, c int16) kmsg.CreateTopicsResponseTopic {
				a := kmsg.NewCreateTopicsResponseTopic()
				a.Topic, a.ErrorCode, a.ErrorMessage = t.Topic, c, kmsg.StringPtr(message)
				return a
			})
		return refusedTopics(r, resp, len(resp.Topics), len(r.Topics))
	case *kmsg.DeleteTopicsRequest:
		return splitDeletions(r, topics, code)
	case *kmsg.CreatePartitionsRequest:
		if r.ValidateOnly {
			return nil, true
		}
		resp := kmsg.NewPtrCreatePartitionsResponse()
		r.Topics, resp.Topics = refuse(r.Topics,
			func(t *kmsg.CreatePartitionsRequestTopic) int16 {
				return code(int(t.Count) - topics.Partitions(t.Topic))
			},
			func(t *kmsg.CreatePartitionsRequestTopic, c int16) kmsg.CreatePartitionsResponseTopic {
				a := kmsg.NewCreatePartitionsResponseTopic()
				a.Topic, a.ErrorCode, a.ErrorMessage = t.Topic, c, kmsg.StringPtr(message)
				return a
			})
		return refusedTopics(r, resp, len(resp.Topics), len(r.Topics))
	}
	return nil, true
}

// splitDeletions is SplitMutations for DeleteTopics, whose topics are names up to
// version 5 and names or ids from 6 on.
func splitDeletions(r *kmsg.DeleteTopicsRequest, topics Topics, code func(int) int16) (kmsg.Response, bool) {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	answer := func(name *string, id [16]byte, c int16) kmsg.DeleteTopicsResponseTopic {
		a := kmsg.NewDeleteTopicsResponseTopic()
		a.Topic, a.TopicID, a.ErrorCode = name, id, c
		return a
	}
	if r.Version <= 5 {
		r.TopicNames, resp.Topics = refuse(r.TopicNames,
			func(t *string) int16 { return code(topics.Partitions(*t)) },
			func(t *string, c int16) kmsg.DeleteTopicsResponseTopic {
				return answer(kmsg.StringPtr(*t), [16]byte{}, c)
			}) // a copy: the array is used again
		return refusedTopics(r, resp, len(resp.Topics), len(r.TopicNames))
	}
	r.Topics, resp.Topics = refuse(r.Topics,
		func(t *kmsg.DeleteTopicsRequestTopic) int16 {
			name, _ := topics.CachedTopicName(t.TopicID)
			if t.Topic != nil {
				name = *t.Topic
			}
			return code(topics.Partitions(name))
		},
		func(t *kmsg.DeleteTopicsRequestTopic, c int16) kmsg.DeleteTopicsResponseTopic {
			return answer(t.Topic, t.TopicID, c)
		})
	return refusedTopics(r, resp, len(resp.Topics), len(r.Topics))
}

// refusedTopics is the result of a split that refused some topics and left others.
func refusedTopics(req kmsg.Request, resp kmsg.Response, refused, left int) (kmsg.Response, bool) {
	if refused == 0 {
		return nil, true
	}
	resp.SetVersion(req.GetVersion())
	return resp, left > 0
}

// Mutations is how many partitions a request creates or deletes, counted like
// [SplitMutations].
func Mutations(req kmsg.Request, topics Topics) int {
	sum := 0
	SplitMutations(req, topics, func(n int) bool { sum += n; return true })
	return sum
}

// AutoCreates is how many topics a Metadata request would have a broker create: those
// that it names, that are not known, and that it does not forbid to create. How many
// partitions each gets is the broker's own default; it counts as one.
func AutoCreates(req *kmsg.MetadataRequest, topics Topics) int {
	if req.Version >= metadataAutoCreates && !req.AllowAutoTopicCreation {
		return 0
	}
	n := 0
	for _, t := range req.Topics {
		if t.Topic != nil && t.TopicID == [16]byte{} && topics.Partitions(*t.Topic) == 0 {
			n++
		}
	}
	return n
}

// ForbidAutoCreation makes a Metadata request create nothing. Versions that imply
// creation become one that can say so, as in Split.
func ForbidAutoCreation(req *kmsg.MetadataRequest) {
	req.Version, req.AllowAutoTopicCreation = max(req.Version, metadataAutoCreates), false
}
