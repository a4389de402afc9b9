package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// Access says to whom an API is offered.
type Access uint8

const (
	// Refuse: inter-broker, controller-only, removed or unknown APIs. Never
	// offered; a connection that sends one ends, as on a broker's listener.
	Refuse Access = iota
	// Pass: offered to every tenant, each resource judged.
	Pass
	// Local: answered by the gateway itself.
	Local
	// Login: SASL, offered at listeners that have it, and there before anything else.
	Login
)

// API is one row of the table: all that Sluice knows of one API key. The
// functions may be nil, which means "nothing to do here".
//
// All functions work on decoded messages whose version is set. They keep it, but
// for Split on Metadata: versions 0 to 3 cannot say what must be said and come back
// as version 4. The caller encodes the request anew after Split, decodes the answer
// in the version that it then has, and gives it the client's before encoding it.
//
// An answer goes through Virtualize, Filter and Merge, in this order: Filter would
// drop what was refused. Two messages never pass whole in the common case: Produce requests
// ([ProduceWalk]) and Fetch responses ([FetchWalk]); their rows serve the cases
// in which they do.
type API struct {
	Key      int16
	Name     string
	Min, Max int16 // versions that Sluice can walk or decode; what is offered is cut by the slice's own
	Access   Access
	// Exempt APIs (heartbeats, commits, membership) count towards request_rate
	// but are never held and never announce a throttle.
	Exempt bool
	// Decode: the request must be decoded even when no rule and no node id asks
	// for it, since the response cannot be rewritten without it.
	Decode bool
	// Route and Away are for tenants whose topics live in several slices: by what the
	// slice is found that answers, and what another one answers.
	Route Route
	Away  Away

	// Split takes out of req what j denies or does not know, and answers that
	// part itself: refused holds an element for each element taken out, with
	// Kafka's code in Kafka's place, and is nil when nothing was taken. rest is
	// false when nothing is left to ask a broker; refused is then the whole
	// answer.
	Split func(req kmsg.Request, j Judge) (refused kmsg.Response, rest bool)
	// Merge puts the elements of refused, which Split made, into the broker's
	// answer to the rest.
	Merge func(resp, refused kmsg.Response)
	// Filter leaves out of resp (listings, authorized operations) what j does not
	// let the tenant see.
	Filter func(resp kmsg.Response, j Judge)
	// Realize turns virtual node ids in req into the broker's own. False: req
	// names a node that no broker of the slice has; it is then left as it is for
	// the broker to answer.
	Realize func(req kmsg.Request, n Nodes) bool
	// Virtualize replaces every broker's node id and address in resp by the
	// virtual one. What has no virtual address is left out or blanked: no
	// client ever learns a broker's own. req is the decoded request where
	// Decode is set, else it may be nil.
	Virtualize func(req kmsg.Request, resp kmsg.Response, n Nodes)
	// Plain reports whether the whole frame of an answer has nothing in it for
	// Virtualize to replace, and may pass as it came; its throttle_time_ms is then
	// raised to ms at least. Nil: nobody knows without decoding it.
	Plain func(frame []byte, version int16, ms int32) bool

	// Divide makes of a request to a virtual cluster what each slice is asked: one part
	// at least, the home's or the group's home's first. A part's request may be req itself
	// if it is the only one; else req stays as it is, and shares with the parts what none
	// of them shares with another. Nil: the broker to which the client sent it answers
	// alone, after a [Guard].
	Divide func(req kmsg.Request, v VirtualCluster) []Part

	join  func(req kmsg.Request, answers []Answer, v VirtualCluster) kmsg.Response
	fence func(f *Fence, req kmsg.Request, parts []Part, v VirtualCluster)
}

// Judge says what a tenant may do under one snapshot of the policy, and resolves
// topic ids in its slice.
type Judge interface {
	// Allowed reports whether the tenant may do op on the resource of that name.
	// For the cluster resource the name is "kafka-cluster".
	Allowed(op Operation, r Resource, name string) bool
	// AllowedSome reports whether there is any name on which the tenant may do op.
	AllowedSome(op Operation, r Resource) bool
	// TopicName is the name of the topic with that id; false if the slice has none.
	TopicName(id [16]byte) (string, bool)
	// TopicNames are the names of all topics of the slice, internal ones too.
	TopicNames() []string
	// Partitions is how many partitions a topic has, as far as is known without asking
	// the slice; 0 if there is no such topic.
	Partitions(topic string) int
}

// row holds the typed functions of an API; define wraps them for the table.
type row[Q kmsg.Request, R kmsg.Response] struct {
	split      func(Q, Judge) (R, bool)
	merge      func(resp, refused R)
	filter     func(R, Judge)
	realize    func(Q, Nodes) bool
	virtualize func(Q, R, Nodes)
	divide     func(Q, VirtualCluster) []Part
	// join puts the answers to the parts together. Nil: the first takes in the others as
	// merge does.
	join func(Q, []slotAnswer[R], VirtualCluster) R
	// fence says what the home of a group is asked before the other parts are sent. Nil:
	// all parts may be sent at once.
	fence func(*Fence, Q, []Part, VirtualCluster)
}

// slotAnswer is an [Answer] of a known type.
type slotAnswer[R kmsg.Response] struct {
	slot int
	resp R
}

// define completes an API with the functions of its row.
func define[Q kmsg.Request, R kmsg.Response](a API, r row[Q, R]) *API {
	var noReq Q
	var noResp R
	if r.split != nil {
		a.Split = func(req kmsg.Request, j Judge) (kmsg.Response, bool) {
			refused, rest := r.split(req.(Q), j)
			if any(refused) == any(noResp) {
				return nil, rest
			}
			refused.SetVersion(req.GetVersion())
			return refused, rest
		}
	}
	if r.merge != nil {
		a.Merge = func(resp, refused kmsg.Response) { r.merge(resp.(R), refused.(R)) }
	}
	if r.filter != nil {
		a.Filter = func(resp kmsg.Response, j Judge) { r.filter(resp.(R), j) }
	}
	if r.realize != nil {
		a.Realize = func(req kmsg.Request, n Nodes) bool { return r.realize(req.(Q), n) }
	}
	if r.virtualize != nil {
		a.Virtualize = func(req kmsg.Request, resp kmsg.Response, n Nodes) {
			q, ok := req.(Q)
			if !ok {
				q = noReq
			}
			r.virtualize(q, resp.(R), n)
		}
	}
	if r.divide != nil {
		a.Divide = func(req kmsg.Request, v VirtualCluster) []Part { return r.divide(req.(Q), v) }
		a.join = joined(r)
	}
	if r.fence != nil {
		a.fence = func(f *Fence, req kmsg.Request, parts []Part, v VirtualCluster) { r.fence(f, req.(Q), parts, v) }
	}
	return &a
}

// NumAPIs is one more than the highest API key that [Lookup] knows.
const NumAPIs = len(apis)

// Lookup returns the row of an API key, or nil for one that the table does not
// know. Rows with Access Refuse are returned too: they carry the name.
func Lookup(key int16) *API {
	if key < 0 || int(key) >= len(apis) {
		return nil
	}
	return apis[key]
}

// Knows reports whether Sluice can handle that version of the API.
func (a *API) Knows(version int16) bool {
	return a.Access != Refuse && version >= a.Min && version <= a.Max
}
