package matrix

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/bench/gateway"
)

// The attacker may do everything with what begins with "shut."; the victim has
// "other.".
const attackTenants = `tenants:
  - name: attacker
    client_ids: {team: attacker}
    home: orders
    rules:
      - {allow: [ALL], topics: ["shut.*"]}
      - {allow: [ALL], groups: ["shut.*"]}
      - {allow: [ALL], transactional_ids: ["shut.*"]}
  - name: victim
    client_ids: {team: victim}
    home: orders
    rules: [{allow: [ALL], everything: true}]
`

// rig is a gateway before one broker, for attacks.
type rig struct {
	*testing.T
	side             *side
	gateway          *gateway.Gateway
	attacker, victim *conn
}

// TestAttacks shows that a tenant that speaks Kafka without a client's manners
// neither learns nor changes anything of another's, and that the gateway lives on.
func TestAttacks(t *testing.T) {
	s := startSide(t, nil)
	g := gateway.Start(t, "", attackTenants, s.broker)
	for _, attack := range []struct {
		name string
		run  func(*rig)
	}{
		{"fetch session of another", foreignSession},
		{"share session of another", foreignShareSession},
		{"__admin_client", adminClient},
		{"topic id of another", foreignTopicID},
		{"regular expression", regularExpressions},
		{"group of another", foreignGroup},
		{"transactional id of another", foreignTransaction},
		{"fetch as a follower", follower},
		{"odd names", oddNames},
		{"an element twice", twice},
		{"an id and a name that disagree", disagree},
		{"versions mixed on one connection", mixedVersions},
		{"policy changed between request and answer", changedBetween},
		{"policy changed inside a session", changedInside},
	} {
		t.Run(attack.name, func(t *testing.T) {
			r := &rig{
				T: t, side: s, gateway: g,
				attacker: &conn{address: g.Address, clientID: "attacker.app"}, victim: &conn{address: g.Address, clientID: "victim.app"},
			}
			defer r.attacker.close()
			defer r.victim.close()
			attack.run(r)
			alive := &conn{address: g.Address, clientID: "attacker.app"}
			defer alive.close()
			if err := alive.pass(t.Context()); err != nil {
				t.Errorf("the gateway does not answer after the attack: %v", err)
			}
		})
	}
}

// ask sends a request that must be answered, after one that passes: else
// refusals would come more and more slowly.
func (r *rig) ask(c *conn, version int16, req kmsg.Request) kmsg.Response {
	r.Helper()
	if err := c.pass(r.Context()); err != nil {
		r.Fatal(err)
	}
	req.SetVersion(version)
	resp, err := c.ask(r.Context(), req)
	if err != nil {
		r.Fatalf("%s v%d: %v", kmsg.NameForKey(req.Key()), version, err)
	}
	return resp
}

// silent fails if the answer says anything of the victim's that the request did not.
func (r *rig) silent(resp kmsg.Response, asked ...string) {
	r.Helper()
	for _, line := range lines(names{}, resp) {
		rest := line
		for _, a := range asked {
			rest = strings.ReplaceAll(rest, a, "")
			rest = strings.ReplaceAll(rest, strings.Trim(strconv.Quote(a), `"`), "")
		}
		if strings.Contains(rest, "other.") || strings.Contains(rest, "__") {
			r.Errorf("%s v%d discloses: %s", kmsg.NameForKey(resp.Key()), resp.GetVersion(), line)
		}
	}
}

func (r *rig) code(what string, got int16, want ...int16) {
	r.Helper()
	for _, w := range want {
		if got == w {
			return
		}
	}
	r.Errorf("%s: error %d, not one of %v", what, got, want)
}

// fetchOf is a fetch of a topic's first partition, in a session unless epoch is -1.
func fetchOf(s *side, session, epoch int32, topics ...string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionID, req.SessionEpoch = 1<<20, session, epoch
	for _, name := range topics {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = name, s.id(name)
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes = 1 << 20
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// foreignSession takes over the session in which the victim fetches.
func foreignSession(r *rig) {
	for _, v := range []int16{7, 12, 13, 17} {
		open := r.ask(r.victim, v, fetchOf(r.side, 0, 0, "other.t")).(*kmsg.FetchResponse)
		if open.SessionID == 0 {
			r.Fatalf("v%d: the victim got no session", v)
		}
		for epoch := range int32(3) {
			resp := r.ask(r.attacker, v, fetchOf(r.side, open.SessionID, epoch+1)).(*kmsg.FetchResponse)
			r.code("incremental fetch", resp.ErrorCode, 70)
			if len(resp.Topics) > 0 {
				r.Errorf("v%d: %d topics of another's session", v, len(resp.Topics))
			}
		}
		// A fetch that begins anew gives up the session it names, but not another's.
		r.ask(r.attacker, v, fetchOf(r.side, open.SessionID, 0, "shut.t"))
		r.ask(r.attacker, v, fetchOf(r.side, open.SessionID, -1, "shut.t"))
		mine := r.ask(r.victim, v, fetchOf(r.side, open.SessionID, 1)).(*kmsg.FetchResponse)
		r.code("the victim's own", mine.ErrorCode, 0)
	}
}

// foreignShareSession asks in the name of the victim's group and member.
func foreignShareSession(r *rig) {
	group, member := "other.sg", memberID("victim")
	for _, epoch := range []int32{0, 1, -1} {
		req := kmsg.NewPtrShareFetchRequest()
		req.GroupID, req.MemberID, req.ShareSessionEpoch, req.MaxBytes, req.MaxRecords, req.BatchSize = &group, &member, epoch, 1<<20, 1, 1
		resp := r.ask(r.attacker, 1, req).(*kmsg.ShareFetchResponse)
		r.code("ShareFetch", resp.ErrorCode, 30)
		ack := kmsg.NewPtrShareAcknowledgeRequest()
		ack.GroupID, ack.MemberID, ack.ShareSessionEpoch = &group, &member, epoch
		r.code("ShareAcknowledge", r.ask(r.attacker, 1, ack).(*kmsg.ShareAcknowledgeResponse).ErrorCode, 30)
	}
}

// adminClient uses the client ID that opens internal topics on a broker.
func adminClient(r *rig) {
	c := &conn{address: r.gateway.Address, clientID: "__admin_client"}
	defer c.close()
	produce := kmsg.NewPtrProduceRequest()
	produce.Acks, produce.TimeoutMillis = 1, 1000
	produce.Topics = []kmsg.ProduceRequestTopic{{Topic: "__consumer_offsets", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(false)}}}}
	resp := r.ask(c, 9, produce).(*kmsg.ProduceResponse)
	r.code("produce", resp.Topics[0].Partitions[0].ErrorCode, 44, 29)
	r.silent(r.ask(c, 9, kmsg.NewPtrMetadataRequest()))
	// On a connection of its own tenant it is another tenant's name: the end.
	_ = r.attacker.pass(r.Context())
	r.attacker.clientID = "__admin_client"
	produce.SetVersion(9)
	if _, err := r.attacker.ask(r.Context(), produce); !errors.Is(err, errClosed) {
		r.Errorf("the client ID changed within a connection: %v", err)
	}
}

func foreignTopicID(r *rig) {
	for _, v := range []int16{13, 18} {
		resp := r.ask(r.attacker, v, fetchOf(r.side, 0, -1, "other.t", "__consumer_offsets")).(*kmsg.FetchResponse)
		for _, topic := range resp.Topics {
			r.code("fetch by id", topic.Partitions[0].ErrorCode, 29)
			if len(topic.Partitions[0].RecordBatches) > 0 {
				r.Errorf("records of %s", r.side.names.of(topic.TopicID))
			}
		}
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{{TopicID: r.side.id("other.t")}}
	for _, topic := range r.ask(r.attacker, 12, meta).(*kmsg.MetadataResponse).Topics {
		r.code("metadata by id", topic.ErrorCode, 29)
		if topic.Topic != nil || len(topic.Partitions) > 0 {
			r.Errorf("metadata by id discloses %v", topic)
		}
	}
	produce := kmsg.NewPtrProduceRequest()
	produce.Acks, produce.TimeoutMillis = 1, 1000
	produce.Topics = []kmsg.ProduceRequestTopic{
		{TopicID: r.side.id("other.p"), Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(false)}}},
		{TopicID: r.side.id("shut.p"), Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(false)}}},
	}
	for _, topic := range r.ask(r.attacker, 13, produce).(*kmsg.ProduceResponse).Topics {
		want := int16(0)
		if topic.TopicID == r.side.id("other.p") {
			want = 29
		}
		r.code("produce by id", topic.Partitions[0].ErrorCode, want)
	}
}

// regularExpressions subscribe to more than may be described.
func regularExpressions(r *rig) {
	for i, expression := range []string{`.*`, `(other|shut)\.t`, `\w+\.t`, `[a-z.]+`, `(?i)OTHER\.T`, `^other\.t$`, `o.her\.t`, `((((a*)*)*)*)*b|.*`} {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.RebalanceTimeoutMillis = "shut.regex"+token(i), "member", 5000
		req.SubscribedTopicRegex, req.Topics = &expression, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		resp := r.ask(r.attacker, 1, req).(*kmsg.ConsumerGroupHeartbeatResponse)
		r.code(expression, resp.ErrorCode, 29)
		r.silent(resp)
	}
}

func foreignGroup(r *rig) {
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "other.g", -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "shut.t"
	topic.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 99}}
	commit.Topics = []kmsg.OffsetCommitRequestTopic{topic}
	r.code("commit", r.ask(r.attacker, 8, commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, 30)

	fetch := kmsg.NewPtrOffsetFetchRequest()
	for _, group := range []string{"other.g", "shut.g", "other.cg"} {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		fetch.Groups = append(fetch.Groups, g)
	}
	r.silent(r.ask(r.attacker, 9, fetch), "other.g", "other.cg")
	r.silent(r.ask(r.attacker, 5, kmsg.NewPtrListGroupsRequest()))

	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"other.g"}
	r.code("delete", r.ask(r.attacker, 2, remove).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode, 30)
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "other.cg", []kmsg.LeaveGroupRequestMember{{MemberID: "member"}}
	r.code("leave", r.ask(r.attacker, 5, leave).(*kmsg.LeaveGroupResponse).ErrorCode, 30)

	own := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = "other.g"
	own.Groups = []kmsg.OffsetFetchRequestGroup{g}
	for _, t := range r.ask(r.victim, 9, own).(*kmsg.OffsetFetchResponse).Groups[0].Topics {
		if t.Partitions[0].Offset != 2 {
			r.Errorf("the victim's offset in %s is %d now", t.Topic, t.Partitions[0].Offset)
		}
	}
}

func foreignTransaction(r *rig) {
	foreign := "other.ongoing"
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis = &foreign, 60000
	r.code("init", r.ask(r.attacker, 5, init).(*kmsg.InitProducerIDResponse).ErrorCode, 53)
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID = foreign
	r.code("end", r.ask(r.attacker, 3, end).(*kmsg.EndTxnResponse).ErrorCode, 53)
	r.silent(r.ask(r.attacker, 0, kmsg.NewPtrListTransactionsRequest()))
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{"shut.ongoing", foreign}
	r.silent(r.ask(r.attacker, 0, describe), foreign)

	states := r.ask(r.victim, 0, kmsg.NewPtrListTransactionsRequest()).(*kmsg.ListTransactionsResponse).TransactionStates
	for _, s := range states {
		if s.TransactionalID == foreign && s.TransactionState != "Ongoing" {
			r.Errorf("the victim's transaction is %s now", s.TransactionState)
		}
	}
}

// follower fetches as a broker does, which needs no right on the topics.
func follower(r *rig) {
	for _, v := range []int16{4, 11, 12, 13, 15, 18} {
		req := fetchOf(r.side, 0, -1, "other.t", "shut.t", "__consumer_offsets")
		req.ReplicaID, req.ReplicaState.ID = 1, 1
		for _, c := range []*conn{r.attacker, r.victim} { // who may do everything is no broker either
			for _, t := range r.ask(c, v, req).(*kmsg.FetchResponse).Topics {
				r.code("fetch as a follower", t.Partitions[0].ErrorCode, 29)
				if len(t.Partitions[0].RecordBatches) > 0 {
					r.Errorf("v%d: records of %s%s", v, t.Topic, r.side.names.of(t.TopicID))
				}
			}
		}
	}
}

// odd are names that a glob, a prefix or a broker might take for another.
var odd = []string{
	"", " ", ".", "..", "shut.", "shut.\x00other.t", "other.t\x00", "shut.*", "*", "other.*", "shut./../other.t", "SHUT.t", "shut.t ", " shut.t", "shut.\u202et", "shut.\xff\xfe",
	"shut.t\nother.t", "other.t", "__consumer_offsets", strings.Repeat("shut.", 50), strings.Repeat("a", 250), strings.Repeat("x", 32000),
}

func oddNames(r *rig) {
	for _, name := range odd {
		meta := kmsg.NewPtrMetadataRequest()
		meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		r.silent(r.ask(r.attacker, 9, meta), name)
		group := kmsg.NewPtrDescribeGroupsRequest()
		group.Groups = []string{name}
		r.silent(r.ask(r.attacker, 4, group), name)
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKeys = 1, []string{name}
		r.silent(r.ask(r.attacker, 4, find), name)
		fetch := r.ask(r.attacker, 12, fetchOf(r.side, 0, -1, name)).(*kmsg.FetchResponse)
		for _, t := range fetch.Topics {
			if len(t.Partitions[0].RecordBatches) > 0 {
				r.Errorf("records of %q", name)
			}
		}
	}
	// Null where a name is expected: no id either.
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{{}}
	meta.SetVersion(12)
	if resp, err := r.attacker.ask(r.Context(), meta); err == nil {
		r.silent(resp)
	} else if !errors.Is(err, errClosed) {
		r.Errorf("a null name: %v", err)
	}
	null := kmsg.NewPtrDeleteTopicsRequest()
	null.Topics = []kmsg.DeleteTopicsRequestTopic{{}}
	null.SetVersion(6)
	if resp, err := r.attacker.ask(r.Context(), null); err == nil {
		r.silent(resp)
	} else if !errors.Is(err, errClosed) {
		r.Errorf("neither name nor id: %v", err)
	}
}

// twice names the same element several times, an allowed one between denied ones.
func twice(r *rig) {
	names := []string{"other.t", "shut.t", "other.t", "shut.t", "other.t"}
	for _, v := range []int16{4, 11, 12} {
		for _, t := range r.ask(r.attacker, v, fetchOf(r.side, 0, -1, names...)).(*kmsg.FetchResponse).Topics {
			for _, p := range t.Partitions {
				if t.Topic == "other.t" && (p.ErrorCode != 29 || len(p.RecordBatches) > 0) {
					r.Errorf("fetch v%d: error %d, %d bytes of the victim's", v, p.ErrorCode, len(p.RecordBatches))
				}
			}
		}
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	for _, name := range []string{"other.t", "other.t", "other.p"} {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &name})
		req.TopicNames = append(req.TopicNames, name)
	}
	for _, v := range []int16{5, 6} {
		r.silent(r.ask(r.attacker, v, req), "other.t", "other.p")
	}
	r.unharmed()
}

// unharmed fails if a topic of the victim's is gone.
func (r *rig) unharmed() {
	r.Helper()
	for _, name := range []string{"other.t", "other.p"} {
		if r.side.lookUp(name) != r.side.id(name) {
			r.Errorf("%s is gone", name)
		}
	}
}

// disagree names a topic by the id of one and the name of another.
func disagree(r *rig) {
	mine, theirs := "shut.t", "other.t"
	for _, pair := range []struct {
		name string
		id   [16]byte
	}{{mine, r.side.id(theirs)}, {theirs, r.side.id(mine)}} {
		for _, v := range []int16{12, 13} {
			meta := kmsg.NewPtrMetadataRequest()
			meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &pair.name, TopicID: pair.id}}
			meta.SetVersion(v)
			if resp, err := r.attacker.ask(r.Context(), meta); err == nil {
				r.silent(resp, pair.name)
				for _, t := range resp.(*kmsg.MetadataResponse).Topics {
					if t.TopicID == r.side.id(theirs) && len(t.Partitions) > 0 {
						r.Errorf("metadata v%d of %s with another id discloses partitions", v, pair.name)
					}
				}
			} else if !errors.Is(err, errClosed) {
				r.Error(err)
			}
		}
		remove := kmsg.NewPtrDeleteTopicsRequest()
		remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &pair.name, TopicID: pair.id}}
		remove.SetVersion(6)
		if resp, err := r.attacker.ask(r.Context(), remove); err == nil {
			r.silent(resp, pair.name)
		} else if !errors.Is(err, errClosed) {
			r.Error(err)
		}
	}
	r.unharmed()
}

// mixedVersions jumps between versions that name topics, ids, and sessions.
func mixedVersions(r *rig) {
	first := r.ask(r.attacker, 12, fetchOf(r.side, 0, 0, "shut.t")).(*kmsg.FetchResponse)
	for i, v := range []int16{18, 7, 13, 12, 4, 17, 11} {
		resp := r.ask(r.attacker, v, fetchOf(r.side, first.SessionID, int32(i+1), "other.t")).(*kmsg.FetchResponse)
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if (t.Topic == "other.t" || t.TopicID == r.side.id("other.t")) && len(p.RecordBatches) > 0 {
					r.Errorf("fetch v%d: records of the victim's", v)
				}
			}
		}
		for _, mv := range []int16{0, 13, 1, 12, 4} {
			r.silent(r.ask(r.attacker, mv, kmsg.NewPtrMetadataRequest()))
		}
	}
}

// changed is the policy without the attacker's rights on its topics.
var changed = strings.Replace(attackTenants, `      - {allow: [ALL], topics: ["shut.*"]}`+"\n", `      - {allow: [ALL], topics: ["shut.p"]}`+"\n", 1)

// reload applies a policy.
func (r *rig) reload(tenants string) {
	r.gateway.Write("", tenants)
	r.gateway.Reload()
}

// changedBetween takes a right away while requests wait for their answers: each is
// answered under one policy, and the next under the new one.
func changedBetween(r *rig) {
	defer r.reload(attackTenants)
	slow := fetchOf(r.side, 0, -1, "shut.t")
	slow.Topics[0].Partitions[0].FetchOffset = 3 // the end: nothing comes
	slow.MaxWaitMillis, slow.MinBytes = 1500, 1<<20
	slow.SetVersion(12)
	meta := kmsg.NewPtrMetadataRequest()
	meta.SetVersion(9)
	if err := r.attacker.send(r.Context(), slow); err != nil {
		r.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until the gateway has sent it on
	r.reload(changed)
	resp, err := r.attacker.receive(slow)
	if err != nil {
		r.Fatal(err)
	}
	r.code("fetch under the old policy", resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode, 0)
	after := r.ask(r.attacker, 12, fetchOf(r.side, 0, -1, "shut.t")).(*kmsg.FetchResponse)
	r.code("fetch under the new policy", after.Topics[0].Partitions[0].ErrorCode, 29)
	for _, t := range r.ask(r.attacker, 9, meta).(*kmsg.MetadataResponse).Topics {
		if *t.Topic == "shut.t" {
			r.Error("a topic is listed that may no longer be described")
		}
	}
}

// changedInside takes rights away inside sessions: Fetch, a member of a group, a
// share session, and what needs none.
func changedInside(r *rig) {
	for _, v := range []int16{7, 12, 13, 18} {
		c := &conn{address: r.gateway.Address, clientID: "attacker.app"}
		first := r.ask(c, v, fetchOf(r.side, 0, 0, "shut.t")).(*kmsg.FetchResponse)
		r.code("in a session", first.Topics[0].Partitions[0].ErrorCode, 0)
		r.reload(changed)
		next := r.ask(c, v, fetchOf(r.side, first.SessionID, 1)).(*kmsg.FetchResponse)
		r.code("in the session after the reload", next.ErrorCode, 70)
		anew := r.ask(c, v, fetchOf(r.side, 0, 0, "shut.t")).(*kmsg.FetchResponse)
		r.code("anew", anew.Topics[0].Partitions[0].ErrorCode, 29)
		r.reload(attackTenants)
		c.close()
	}
	beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = "shut.inside", "member", 5000
	beat.SubscribedTopicNames, beat.Topics = []string{"shut.t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	r.code("join", r.ask(r.attacker, 1, beat).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode, 0)
	r.reload(changed)
	r.code("join after the reload", r.ask(r.attacker, 1, beat).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode, 29)
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "shut.g", -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.Partitions = "shut.t", []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}
	commit.Topics = []kmsg.OffsetCommitRequestTopic{topic}
	r.code("commit", r.ask(r.attacker, 8, commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, 29)
	produce := kmsg.NewPtrProduceRequest()
	produce.Acks, produce.TimeoutMillis = 1, 1000
	produce.Topics = []kmsg.ProduceRequestTopic{{Topic: "shut.t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(false)}}}}
	r.code("produce", r.ask(r.attacker, 9, produce).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, 29)
	share := kmsg.NewPtrShareFetchRequest()
	group, member := "shut.sg", memberID("attacker")
	share.GroupID, share.MemberID, share.MaxBytes, share.MaxRecords, share.BatchSize = &group, &member, 1<<20, 1, 1
	share.Topics = []kmsg.ShareFetchRequestTopic{{TopicID: r.side.id("shut.t"), Partitions: []kmsg.ShareFetchRequestTopicPartition{{Partition: 0}}}}
	shared := r.ask(r.attacker, 1, share).(*kmsg.ShareFetchResponse)
	if shared.ErrorCode == 0 {
		r.code("share fetch", shared.Topics[0].Partitions[0].ErrorCode, 29)
	}
	r.reload(attackTenants)
}
