package wire

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestBatchesHaveTheirSize(t *testing.T) {
	for _, size := range []int{500, 16 << 10, MaxBatch, MaxBatch + 1, MaxBatch + minBatch, 3*MaxBatch + 17} {
		b := Batches(size)
		if len(b) > size || len(b) < size-2 {
			t.Errorf("%d bytes were asked for, got %d", size, len(b))
		}
		if err := CheckBatches(b); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	for size := minBatch; size < 9000; size++ { // all the places where a length grows
		if n := len(batch(size, 0)); n > size || n < size-1 {
			t.Fatal(size, n)
		}
	}
}

func TestCheckBatchesSeesDamage(t *testing.T) {
	b := Batches(500)
	b[400]++
	if CheckBatches(b) == nil {
		t.Error("a changed byte was not seen")
	}
	if CheckBatches(b[:300]) == nil || CheckBatches(nil) == nil {
		t.Error("a cut batch was not seen")
	}
}

func TestHeadersAreRead(t *testing.T) {
	for _, f := range [][]byte{Produce("a.b.c", 500), Fetch("a.b.c", 500), Metadata(""), ApiVersions("a")} {
		SetCorrelation(f, 77)
		for n := range min(len(f), 40) {
			if _, more, err := ParseHeader(f[:n]); err == nil && more > 0 && more <= n {
				t.Fatalf("%d bytes: wants %d", n, more)
			}
		}
		h, more, err := ParseHeader(f)
		if err != nil || more != 0 || h.Correlation != 77 || h.Size != len(f)-4 {
			t.Fatalf("%+v %d %v", h, more, err)
		}
		req := kmsg.RequestForKey(h.Key)
		req.SetVersion(h.Version)
		if err := req.ReadFrom(f[h.Len:]); err != nil {
			t.Errorf("%T: %v", req, err)
		}
	}
}

func TestAnswersAreReadBack(t *testing.T) {
	for _, resp := range []kmsg.Response{kmsg.NewPtrFetchResponse(), kmsg.NewPtrApiVersionsResponse(), kmsg.NewPtrMetadataResponse()} {
		resp.SetVersion(3)
		f := Answer(5, resp)
		again := resp.RequestKind().ResponseKind()
		again.SetVersion(3)
		if err := ReadAnswer(f, again); err != nil {
			t.Errorf("%T: %v", resp, err)
		}
		if !bytes.Equal(Answer(5, again), f) {
			t.Errorf("%T is not what was written", resp)
		}
		if ReadAnswer(f[:7], again) == nil {
			t.Errorf("%T: half a header is an answer", resp)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(Produce("a.b.c", 100))
	f.Add(Metadata("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, more, err := ParseHeader(b)
		if err == nil && more == 0 && (h.Len > h.Size+4 || h.Len < 14) {
			t.Errorf("%+v of %x", h, b)
		}
		if more > 0 && more <= len(b) {
			t.Errorf("%d bytes are not enough, but %d would be", len(b), more)
		}
	})
}
