package protocol

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func BenchmarkParseHeader(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	req.Version = 11
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.app.prod")).AppendRequest(nil, req, 1)
	var h Header
	b.ReportAllocs()
	for b.Loop() {
		if need, err := h.Parse(frame, testMaxFrame); need > 0 || err != nil {
			b.Fatal(need, err)
		}
	}
}

func BenchmarkProduceWalk(b *testing.B) {
	for _, size := range []int{500, 1 << 20} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			req := kmsg.NewPtrProduceRequest()
			req.Version, req.TransactionID = 11, kmsg.StringPtr("payments.tx")
			req.Topics = []kmsg.ProduceRequestTopic{{
				Topic:      "payments.orders",
				Partitions: []kmsg.ProduceRequestTopicPartition{{Records: make([]byte, size)}},
			}}
			body := req.AppendTo(nil)
			var w ProduceWalk
			b.ReportAllocs()
			for b.Loop() {
				w.Reset(11, len(body))
				for at, ev := 0, ProduceMore; ev != ProduceDone; {
					n, next, err := w.Next(body[at:min(at+64<<10, len(body))])
					if err != nil {
						b.Fatal(err)
					}
					at, ev = at+n, next
				}
			}
		})
	}
}

func BenchmarkFetchWalk(b *testing.B) {
	for _, tc := range []struct{ partitions, size int }{{50, 20 << 10}, {1, 1 << 20}} {
		b.Run(fmt.Sprintf("%dx%dB", tc.partitions, tc.size), func(b *testing.B) {
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = 16
			topic := kmsg.NewFetchResponseTopic()
			for i := range tc.partitions {
				p := kmsg.NewFetchResponseTopicPartition()
				p.Partition, p.RecordBatches = int32(i), make([]byte, tc.size)
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
			body := resp.AppendTo(nil)
			var w FetchWalk
			b.ReportAllocs()
			for b.Loop() {
				h, _, err := ParseFetchHead(body, 16)
				w.Reset(16, len(body)-h.Size, h.Topics, Nodes{Slot: 1})
				for at := h.Size; !w.Done(); {
					var n int
					if n, err = w.Next(body[at:min(at+64<<10, len(body))]); err != nil {
						break
					}
					at += n
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What is called for each request does not allocate.
func TestHotPathDoesNotAllocate(t *testing.T) {
	produce := kmsg.NewPtrProduceRequest()
	produce.Version, produce.TransactionID = 11, kmsg.StringPtr("payments.tx")
	produce.Topics = []kmsg.ProduceRequestTopic{{Topic: "a", Partitions: make([]kmsg.ProduceRequestTopicPartition, 3)}}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("payments.app.prod")).AppendRequest(nil, produce, 1)
	fetch := kmsg.NewPtrFetchResponse()
	fetch.Version, fetch.Topics = 16, []kmsg.FetchResponseTopic{{Partitions: make([]kmsg.FetchResponseTopicPartition, 3)}}
	answer := fetch.AppendTo(nil)
	out := bytes.Clone(answer)
	var h Header
	var pw ProduceWalk
	var fw FetchWalk
	allocs := testing.AllocsPerRun(100, func() {
		_, _ = h.Parse(frame, testMaxFrame)
		pw.Reset(h.Version, len(frame)-h.Body)
		for at, ev := h.Body, ProduceMore; ev != ProduceDone; {
			n, next, err := pw.Next(frame[at:])
			if err != nil {
				t.Fatal(err)
			}
			at, ev = at+n, next
		}
		head, _, _ := ParseFetchHead(answer, 16)
		out = AppendFetchHead(out[:0], 16, head, nil)
		fw.Reset(16, len(answer)-head.Size, head.Topics, Nodes{Slot: 1})
		_, _ = fw.Next(answer[head.Size:])
		PatchThrottle(answer, 1, 16, 5)
	})
	if allocs > 0 || !fw.Done() {
		t.Errorf("%v allocations, done %v", allocs, fw.Done())
	}
}
