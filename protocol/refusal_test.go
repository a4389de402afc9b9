package protocol

import (
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const why = "client ID \"x\" belongs to no tenant"

func refusal(software string) Refusal {
	return Refusal{Text: why, Host: "gateway.example", Port: 9092, ClusterID: "sluice", Software: software}
}

// errorFree are the answers of the refusal broker that carry no error.
var errorFree = map[int16]string{
	3:  "clients go on to what refuses them better",
	10: "clients go on to JoinGroup",
	18: "an error makes clients ask again at once",
	22: "an error makes clients ask again at once",
	66: "Kafka leaves out what is denied",
	17: "it never comes here: SASL is dealt with before",
	36: "it never comes here: SASL is dealt with before",
}

// TestRefusalAnswersEverything: each offered API in each version is answered with
// what decodes, and with an error unless errorFree says why not.
func TestRefusalAnswersEverything(t *testing.T) {
	f := randomFiller(rand.New(rand.NewSource(3)), rowNames)
	f.length = func() int { return 2 }
	for _, api := range apis {
		for v := api.Min; v <= api.Max && api.Access != Refuse; v++ {
			t.Run(fmt.Sprintf("%s/v%d", api.Name, v), func(t *testing.T) {
				req := requestOf(api.Key, v)
				f.fill(req)
				if p, ok := req.(*kmsg.ProduceRequest); ok {
					p.Acks = -1
				}
				resp, hold, ok := refusal("kgo").Answer(reread(t, req))
				if !ok || resp == nil || reflect.ValueOf(resp).IsNil() {
					t.Fatalf("no answer to %s", show(req))
				}
				if reflect.TypeOf(resp) != reflect.TypeOf(req.ResponseKind()) || resp.GetVersion() != v && api.Key != 18 {
					t.Fatalf("answered with %T version %d", resp, resp.GetVersion())
				}
				if held := hold == RefusalFetchHold; held != (api.Key == 1 || api.Key == 78) || hold != 0 && !held {
					t.Errorf("held for %v", hold)
				}
				resp = reread(t, resp)
				_, free := errorFree[api.Key]
				free = free || api.Key == 35 && v < 3 // DescribeLogDirs has no place for it
				if api.Key == 18 {
					return // its request's random software name is refused; see TestRefusalApiVersions
				}
				if codes := errorsIn(resp); (len(codes) == 0) != free {
					t.Errorf("errors %v in %s", codes, show(resp))
				}
			})
		}
	}
}

// errorsIn are the error codes other than 0 anywhere in a message.
func errorsIn(msg any) (codes []int16) {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; strings.HasSuffix(name, "ErrorCode") && v.Field(i).Int() != 0 {
					codes = append(codes, int16(v.Field(i).Int()))
				} else if name != "UnknownTags" {
					walk(v.Field(i))
				}
			}
		}
	}
	walk(reflect.ValueOf(msg))
	return codes
}

// answerOf asks the refusal broker and fails if there is no answer.
func answerOf[R kmsg.Response](t *testing.T, r Refusal, req kmsg.Request, version int16) R {
	t.Helper()
	req.SetVersion(version)
	resp, _, ok := r.Answer(reread(t, req))
	if !ok {
		t.Fatalf("no answer to %T", req)
	}
	return reread(t, resp).(R)
}

// TestRefusalCodes: what each request is refused with, in its newest version.
func TestRefusalCodes(t *testing.T) {
	want := map[int16]int16{
		0: 44, 1: 29, 2: 29, 8: 30, 9: 30, 11: 30, 12: 30, 13: 30, 14: 30, 15: 30, 16: 31, 19: 44, 20: 44, 21: 29, 23: 29,
		25: 53, 26: 53, 27: 31, 28: 53, 29: 31, 30: 31, 31: 31, 32: 44, 33: 44, 34: 31, 35: 31, 37: 44, 42: 30, 43: 31, 44: 44,
		45: 31, 46: 31, 47: 30, 48: 31, 49: 31, 50: 31, 51: 31, 55: 31, 57: 31, 60: 31, 61: 29, 64: 31, 65: 53, 68: 30, 69: 30, 74: 31, 75: 29,
		76: 30, 77: 30, 78: 30, 79: 30, 80: 31, 81: 31, 88: 30, 89: 30, 90: 30, 91: 30, 92: 30, 24: 53,
	}
	f := randomFiller(rand.New(rand.NewSource(4)), rowNames)
	f.length = func() int { return 1 }
	for _, api := range apis {
		if _, free := errorFree[api.Key]; free || api.Access == Refuse {
			continue
		}
		req := requestOf(api.Key, api.Max)
		f.fill(req)
		if p, ok := req.(*kmsg.ProduceRequest); ok {
			p.Acks = 1
		}
		resp := answerOf[kmsg.Response](t, refusal("kgo"), req, api.Max)
		for _, code := range errorsIn(resp) {
			if code != want[api.Key] {
				t.Errorf("%s: error %d, want %d, in %s", api.Name, code, want[api.Key], show(resp))
			}
		}
	}
}

// TestRefusalText: the places in which real clients show the text to their users.
func TestRefusalText(t *testing.T) {
	f := randomFiller(rand.New(rand.NewSource(5)), rowNames)
	f.length = func() int { return 1 }
	for key, from := range map[int16]int16{ // the first version with a place for it
		0: 8, 19: 1, 20: 5, 29: 0, 30: 0, 31: 0, 32: 0, 33: 0, 37: 0, 43: 0, 44: 0, 45: 0, 46: 0, 48: 0, 49: 0, 50: 0, 51: 0,
		55: 2, 57: 0, 60: 0, 61: 0, 64: 0, 68: 0, 76: 1, 80: 0, 81: 0, 88: 0, 91: 0, 92: 0,
	} {
		for v := from; v <= Lookup(key).Max; v++ {
			req := requestOf(key, v)
			f.fill(req)
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.Acks = 1
			}
			if got := show(answerOf[kmsg.Response](t, refusal("kgo"), req, v)); !strings.Contains(got, "ErrorMessage:"+why) {
				t.Errorf("%s v%d does not say why: %s", Lookup(key).Name, v, got)
			}
		}
	}
}

func TestRefusalMetadata(t *testing.T) {
	for v := int16(0); v <= 13; v++ {
		ask := func(topics ...kmsg.MetadataRequestTopic) *kmsg.MetadataResponse {
			return answerOf[*kmsg.MetadataResponse](t, refusal("kgo"), &kmsg.MetadataRequest{Topics: topics}, v)
		}
		resp := ask(kmsg.MetadataRequestTopic{Topic: name("orders")}, kmsg.MetadataRequestTopic{Topic: name("clicks")})
		if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != RefusalNode || resp.Brokers[0].Host != "gateway.example" || resp.Brokers[0].Port != 9092 {
			t.Fatalf("v%d: brokers %s", v, show(resp))
		}
		if v >= 1 && resp.ControllerID != RefusalNode || v >= 2 && *resp.ClusterID != "sluice" {
			t.Errorf("v%d: %s", v, show(resp))
		}
		if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "orders" || *resp.Topics[1].Topic != "clicks" {
			t.Fatalf("v%d: topics %s", v, show(resp))
		}
		for _, topic := range resp.Topics {
			if p := topic.Partitions; len(p) != 1 || p[0].Leader != RefusalNode || p[0].Partition != 0 {
				t.Errorf("v%d: partitions %s", v, show(topic))
			}
		}
		if a, b := resp.Topics[0].TopicID, resp.Topics[1].TopicID; v >= 10 && (a == b || a != ask(kmsg.MetadataRequestTopic{Topic: name("orders")}).Topics[0].TopicID) {
			t.Errorf("v%d: topic ids %x and %x are not stable", v, a, b)
		}
		if all := ask(); len(all.Topics) != 0 || len(all.Brokers) != 1 {
			t.Errorf("v%d: all topics are %s", v, show(all))
		}
		if v < 12 {
			continue
		}
		if byID := ask(kmsg.MetadataRequestTopic{TopicID: topicID("x")}).Topics; len(byID) != 1 || byID[0].ErrorCode != 100 || byID[0].Topic != nil || byID[0].TopicID != topicID("x") {
			t.Errorf("v%d: by id %s", v, show(byID))
		}
	}
}

func TestRefusalProduce(t *testing.T) {
	for v := int16(0); v <= 13; v++ {
		req := &kmsg.ProduceRequest{Acks: -1, Topics: []kmsg.ProduceRequestTopic{{
			Topic: "orders", TopicID: topicID("orders"), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 7, Records: []byte("records")}},
		}}}
		want := kmsg.NewProduceResponseTopicPartition()
		want.Partition, want.ErrorCode, want.BaseOffset, want.ErrorMessage = 7, 44, -1, name(why)
		sameBytes(t, fmt.Sprintf("v%d", v), answerOf[*kmsg.ProduceResponse](t, refusal("kgo"), req, v), &kmsg.ProduceResponse{Version: v, Topics: []kmsg.ProduceResponseTopic{{
			Topic: "orders", TopicID: topicID("orders"), Partitions: []kmsg.ProduceResponseTopicPartition{want},
		}}})
	}
}

func TestRefusalProduceWithoutAcks(t *testing.T) {
	for v := int16(0); v <= 13; v++ {
		req := &kmsg.ProduceRequest{Version: v, Topics: []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{}}}}}
		if resp, _, ok := refusal("kgo").Answer(req); ok || resp != nil {
			t.Errorf("v%d: a producer that waits for no answer gets %s", v, show(resp))
		}
	}
}

func TestRefusalOfTheUnknown(t *testing.T) {
	for _, req := range []kmsg.Request{&kmsg.LeaderAndISRRequest{}, &kmsg.EnvelopeRequest{}, &kmsg.MetadataRequest{Version: 14}, &kmsg.ShareFetchRequest{}} {
		if resp, _, ok := refusal("kgo").Answer(req); ok {
			t.Errorf("%T version %d is answered with %s", req, req.GetVersion(), show(resp))
		}
	}
}

func TestRefusalFindCoordinator(t *testing.T) {
	type c = kmsg.FindCoordinatorResponseCoordinator
	for software, says := range map[string]bool{"kgo": false, "": false, "apache-kafka-java": false, "librdkafka": true, "confluent-kafka-python": true} {
		for v := int16(0); v <= 6; v++ {
			req := &kmsg.FindCoordinatorRequest{CoordinatorKey: "g", CoordinatorKeys: []string{"g", "h"}}
			resp := answerOf[*kmsg.FindCoordinatorResponse](t, refusal(software), req, v)
			cs := resp.Coordinators
			if v < 4 {
				cs = []c{{NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage}}
			} else if len(cs) != 2 || cs[0].Key != "g" || cs[1].Key != "h" {
				t.Fatalf("v%d: %s", v, show(resp))
			}
			for _, got := range cs {
				got.Key = ""
				want := c{NodeID: RefusalNode, Host: "gateway.example", Port: 9092}
				if says {
					want = c{NodeID: -1, Port: -1, ErrorCode: 30, ErrorMessage: name(why)}
					if v == 0 {
						want.ErrorMessage = nil
					}
				}
				if show(got) != show(want) {
					t.Errorf("%q v%d: %s, want %s", software, v, show(got), show(want))
				}
			}
		}
	}
}

func TestRefusalApiVersions(t *testing.T) {
	for v := int16(0); v <= 4; v++ {
		resp := answerOf[*kmsg.ApiVersionsResponse](t, refusal("kgo"), goodClient(v), v)
		keys := keysOf(t, resp)
		if resp.ErrorCode != 0 || keys[18] != (Range{0, 4}) || keys[0] != (Range{0, 13}) || keys[19] != (Range{0, 7}) {
			t.Errorf("v%d: error %d, keys %v", v, resp.ErrorCode, keys)
		}
	}
	if resp, _, ok := refusal("kgo").Answer(&kmsg.ApiVersionsRequest{Version: 5}); !ok || resp.GetVersion() != 0 || resp.(*kmsg.ApiVersionsResponse).ErrorCode != 35 {
		t.Errorf("version 5 is answered with %s", show(resp))
	}
}

func TestRefusalInitProducerID(t *testing.T) {
	seen := make(map[int64]bool)
	for v := int16(0); v <= 5; v++ {
		resp := answerOf[*kmsg.InitProducerIDResponse](t, refusal("kgo"), &kmsg.InitProducerIDRequest{}, v)
		if resp.ErrorCode != 0 || resp.ProducerID>>pidTagShift != refusalPidTag || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
			t.Errorf("v%d: %s", v, show(resp))
		}
		seen[resp.ProducerID] = true
	}
}

// TestRefusalNamesNothing: requests that name nothing still have an answer.
func TestRefusalNamesNothing(t *testing.T) {
	for _, api := range apis {
		for v := api.Min; v <= api.Max && api.Access != Refuse; v++ {
			req := requestOf(api.Key, v)
			if d, ok := req.(interface{ Default() }); ok {
				d.Default()
			}
			if p, ok := req.(*kmsg.ProduceRequest); ok {
				p.Acks = 1
			}
			resp, hold, ok := refusal("").Answer(req)
			if !ok || resp == nil || hold > time.Second {
				t.Fatalf("%s v%d: no answer", api.Name, v)
			}
			reread(t, resp)
		}
	}
}
