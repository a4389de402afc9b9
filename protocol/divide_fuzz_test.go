package protocol

import (
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzSpan gives requests of any bytes to a virtual cluster of which some slices are
// down: there is always an answer, and all that is sent and answered can be encoded.
// A bit of down stands for a slot.
func FuzzSpan(f *testing.F) {
	for _, api := range apis {
		if api.Divide == nil {
			continue
		}
		r := rand.New(rand.NewSource(int64(api.Key)))
		for v := api.Min; v <= api.Max; v++ {
			req := requestOf(api.Key, v)
			randomFiller(r, spanningNames).fill(req)
			f.Add(uint8(api.Key), uint8(v), req.AppendTo(nil), uint8(v)*37)
		}
	}
	f.Fuzz(func(t *testing.T, key, version uint8, body []byte, down uint8) {
		api := Lookup(int16(key))
		if api == nil || !api.Knows(int16(version)) || api.Split == nil {
			return
		}
		if _, err := CheckRequest(api.Key, int16(version), body); err != nil {
			return
		}
		req := requestOf(api.Key, int16(version))
		if req.ReadFrom(body) != nil {
			return
		}
		resp := span(api, req, 3, func(p Part) kmsg.Response {
			if api.Divide != nil && down>>p.Slot&1 == 1 {
				return nil
			}
			reread(t, p.Req)
			return answerTo(p)
		})
		if resp == nil {
			t.Fatal("no answer")
		}
		resp.SetVersion(int16(version))
		reread(t, resp)
	})
}
