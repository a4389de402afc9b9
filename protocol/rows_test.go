package protocol

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// splitCase is one golden case of a row: what a tenant asks, what of it a broker
// gets, what the broker answers, and what the tenant sees. It holds for all
// versions in [min, max] of the row (or the row's own bounds where they are 0):
// what a version cannot say is lost in encoding.
type splitCase struct {
	name     string
	key      int16
	min, max int16
	judge    Judge
	req      func(v int16) kmsg.Request
	rest     func(v int16) kmsg.Request  // nil: no broker is asked
	answer   func(v int16) kmsg.Response // the broker's, to rest
	want     func(v int16) kmsg.Response
	upstream func(v int16) int16 // the version in which the broker is asked, if not the client's
}

// runSplitCases runs each case in each of its versions, along the way that a
// request takes: split, ask, filter, merge.
func runSplitCases(t *testing.T, cases []splitCase) {
	for _, c := range cases {
		api := Lookup(c.key)
		lo, hi := api.Min, api.Max
		if c.min != 0 {
			lo = c.min
		}
		if c.max != 0 {
			hi = c.max
		}
		for v := lo; v <= hi; v++ {
			t.Run(fmt.Sprintf("%s/%s/v%d", api.Name, c.name, v), func(t *testing.T) { c.run(t, api, v) })
		}
	}
}

func (c *splitCase) run(t *testing.T, api *API, v int16) {
	req := c.req(v)
	req.SetVersion(v)
	req = reread(t, req)
	refused, rest := api.Split(req, c.judge)
	if rest != (c.rest != nil) {
		t.Fatalf("rest is %v; request is now %s", rest, show(req))
	}
	upstream := v
	if c.upstream != nil {
		upstream = c.upstream(v)
	}
	if req.GetVersion() != upstream {
		t.Fatalf("the request goes upstream as version %d, want %d", req.GetVersion(), upstream)
	}
	resp := refused
	if rest {
		want := c.rest(v)
		want.SetVersion(upstream)
		sameBytes(t, "the rest", req, want)
		resp = c.answer(v)
		resp.SetVersion(upstream)
		resp = reread(t, resp)
		if api.Filter != nil {
			api.Filter(resp, c.judge)
		}
		if refused != nil {
			api.Merge(resp, refused)
		}
	}
	if resp.GetVersion() != upstream {
		t.Errorf("the answer has version %d, want %d", resp.GetVersion(), upstream)
	}
	resp.SetVersion(v)
	want := c.want(v)
	want.SetVersion(v)
	sameBytes(t, "the answer", resp, want)
}

// rewriteCase is one golden case of node ids and addresses, in slot 3 and for the
// nodes of [testNodes].
type rewriteCase struct {
	name           string
	key            int16
	min, max       int16
	req, wantReq   kmsg.Request
	foreign        bool // the request names a node that is not of the slice
	resp, wantResp kmsg.Response
}

// testNodes are the brokers 1 and 2, of slot 3; 9 has no address there.
var testNodes = Nodes{Slot: 3, Address: func(node int32) (string, int32, bool) {
	if node != 1 && node != 2 {
		return "", 0, false
	}
	return "gateway.example", 9100 + node, true
}}

// virtual is a node of slot 3 as clients see it.
func virtual(node int32) int32 { return node + 3<<20 }

func runRewriteCases(t *testing.T, cases []rewriteCase) {
	for _, c := range cases {
		api := Lookup(c.key)
		lo, hi := api.Min, api.Max
		if c.min != 0 {
			lo = c.min
		}
		if c.max != 0 {
			hi = c.max
		}
		for v := lo; v <= hi; v++ {
			t.Run(fmt.Sprintf("%s/%s/v%d", api.Name, c.name, v), func(t *testing.T) { c.run(t, api, v) })
		}
	}
}

func (c *rewriteCase) run(t *testing.T, api *API, v int16) {
	var asked kmsg.Request
	if c.req != nil {
		c.req.SetVersion(v)
		asked = reread(t, c.req)
		if c.wantReq != nil {
			if ok := api.Realize(asked, testNodes); ok == c.foreign {
				t.Errorf("realized: %v", ok)
			}
			c.wantReq.SetVersion(v)
			sameBytes(t, "the request", asked, c.wantReq)
		}
	}
	if c.resp != nil {
		c.resp.SetVersion(v)
		resp := reread(t, c.resp)
		api.Virtualize(asked, resp, testNodes)
		c.wantResp.SetVersion(v)
		sameBytes(t, "the answer", resp, c.wantResp)
	}
}

// name is for the fields that hold a name or null.
func name(s string) *string { return &s }
