package protocol

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FetchMaxBytes is how many bytes a Fetch or ShareFetch asks for at most; a Fetch
// below version 3 has no such bound, and its answer that of its partitions.
func FetchMaxBytes(req kmsg.Request) int32 {
	switch r := req.(type) {
	case *kmsg.ShareFetchRequest:
		return max(r.MaxBytes, 0)
	case *kmsg.FetchRequest:
		if r.Version >= 3 {
			return max(r.MaxBytes, 0)
		}
		var sum int64
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				sum += int64(max(p.PartitionMaxBytes, 0))
			}
		}
		return int32(min(sum, 1<<31-1))
	}
	return 0
}

// SetFetchMaxBytes lowers what a Fetch or ShareFetch asks for to n bytes. Brokers
// still answer with one whole batch at least.
func SetFetchMaxBytes(req kmsg.Request, n int32) {
	switch r := req.(type) {
	case *kmsg.ShareFetchRequest:
		r.MaxBytes = n
	case *kmsg.FetchRequest:
		r.MaxBytes = n
		if r.Version >= 3 {
			return
		}
		for i := range r.Topics {
			for k := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[k]
				p.PartitionMaxBytes = min(p.PartitionMaxBytes, n)
			}
		}
	}
}

// PatchFetchMaxBytes writes n over max_bytes in the body of a Fetch; false if that
// version has it at no fixed place.
func PatchFetchMaxBytes(body []byte, key, version int16, n int32) bool {
	at := 12 // behind replica_id, max_wait_ms and min_bytes
	if version >= 15 {
		at = 8 // replica_id has become a tag
	}
	if key != KeyFetch || version < 3 || len(body) < at+4 {
		return false
	}
	binary.BigEndian.PutUint32(body[at:], uint32(n))
	return true
}

// FetchSessionNotFound tells the client to start its fetch session anew, with a
// full fetch (KIP-227).
func FetchSessionNotFound(version int16) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	resp.ErrorCode = codeFetchSessionIDNotFound
	return resp
}

// Emptied reports whether a request that Split has left something of asks for
// nothing any more: a Metadata request of which every topic was refused is still
// sent for the brokers in its answer, an OffsetDelete for what it says of the group.
func Emptied(req kmsg.Request) bool {
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		return r.Topics != nil && len(r.Topics) == 0
	case *kmsg.OffsetDeleteRequest:
		return len(r.Topics) == 0
	}
	return false
}
