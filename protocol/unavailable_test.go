package protocol

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a slice cannot answer is answered with codes after which clients ask again, in
// every version, and has no other errors.
func TestUnavailableIsRetriable(t *testing.T) {
	retriable := []int16{codeLeaderNotAvailable, codeCoordinatorNotAvailable, codeRequestTimedOut}
	eachVersion(t, func(t *testing.T, api *API, v int16) {
		if api.Divide == nil {
			return
		}
		r := rand.New(rand.NewSource(int64(api.Key)<<16 + int64(v)))
		for range 100 {
			req := requestOf(api.Key, v)
			randomFiller(r, spanningNames).fill(req)
			req = reread(t, asClient(req))
			before, asked := show(req), len(asksAbout(req))
			resp := api.Unavailable(req, nil)
			reread(t, resp)
			errors := ErrorsIn(resp)
			for _, e := range errors {
				if !slices.Contains(retriable, e.Code) && !(api.Key == 20 && e.Code == codeInvalidRequest) {
					t.Fatalf("%s is %d in the answer to %s", e.Place, e.Code, before)
				}
			}
			_, metadata := req.(*kmsg.MetadataRequest) // may name nothing that can be found
			if asked > 0 && errors == nil && !metadata && !strings.Contains(show(resp), "[") {
				t.Fatalf("no error in %s for %s", show(resp), before)
			}
		}
	})
}

// Of a slice that is down, all topics are those that were known.
func TestUnavailableListsWhatWasKnown(t *testing.T) {
	known := []string{"b", "a", "c"}
	for v := int16(0); v <= 13; v++ {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = v
		resp := Lookup(KeyMetadata).Unavailable(req, known).(*kmsg.MetadataResponse)
		if len(resp.Topics) != 3 || *resp.Topics[0].Topic != "b" || resp.Topics[0].ErrorCode != codeLeaderNotAvailable || len(resp.Brokers) != 0 {
			t.Errorf("v%d: %s", v, show(resp))
		}
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "b"}
	resp := Lookup(75).Unavailable(req, known).(*kmsg.DescribeTopicPartitionsResponse)
	if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "b" || resp.Topics[0].ErrorCode != codeLeaderNotAvailable || resp.NextCursor != nil {
		t.Errorf("topics: %s", show(resp))
	}
	if !slices.Equal(known, []string{"b", "a", "c"}) {
		t.Error("the list is another's")
	}
}
