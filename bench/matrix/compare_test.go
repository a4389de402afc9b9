package matrix

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// names are those of the topics of one side, by id.
type names map[[16]byte]string

// absentID is a topic id that neither side has.
var absentID = [16]byte{0xab, 0x5e, 0x17, 15: 1}

func (n names) of(id [16]byte) string {
	name, known := n[id]
	switch {
	case id == [16]byte{}:
		return "zero"
	case id == absentID:
		return "absent"
	case known:
		return name
	}
	return "?"
}

// Fields whose values no two brokers have in common. Numbers are compared for
// being negative, which is how Kafka says that there is none; texts and lists for
// being empty.
var loose = map[string]bool{
	"LogAppendTime": true, "BaseOffset": true, "LogStartOffset": true, "HighWatermark": true, "LastStableOffset": true, "Offset": true, "OldStyleOffsets": true, "EndOffset": true, "LowWatermark": true,
	"Timestamp": true, "LeaderEpoch": true, "MemberEpoch": true, "GroupEpoch": true, "AssignmentEpoch": true, "EndpointInformationEpoch": true,
	"ProducerID": true, "ProducerEpoch": true, "MemberID": true, "LeaderID": true, "ClusterID": true, "SessionID": true,
	"NodeID": true, "Host": true, "Port": true, "Rack": true, "ControllerID": true, "Leader": true, "Replicas": true, "ISR": true, "EligibleLeaderReplicas": true, "LastKnownELR": true,
	"AcquisitionLockTimeoutMillis": true, "HeartbeatIntervalMillis": true, "ErrorMessage": true,
	"Size": true, "OffsetLag": true, "TotalBytes": true, "UsableBytes": true, "Dir": true, "StartTimestamp": true, "CoordinatorEpoch": true, "LastTimestamp": true, "LastSequence": true, "CurrentTxnStartOffset": true,
	"ClientHost": true, "ClientID": true, "Records": true, "RecordBatches": true, "HighWaterMark": true, "CurrentVoters": true, "Observers": true, "AssignmentInterval": true, "Lag": true,
	"StartOffset": true, "ProtocolMetadata": true, "Documentation": true, "AcquiredRecords": true, "TxnStartTimestamp": true,
}

// ignored says nothing of the rules.
var ignored = map[string]bool{"Version": true, "UnknownTags": true, "ThrottleMillis": true, "Brokers": true}

// naming are the fields by which an element of a list is known.
var naming = map[string]bool{
	"Topic": true, "TopicID": true, "Name": true, "Group": true, "GroupID": true, "Partition": true, "ResourceName": true, "ResourceType": true,
	"TransactionalID": true, "Key": true, "User": true, "EntityType": true, "EntityName": true,
}

// lines are what an answer says, a line for each leaf: the path to it, on which
// the elements of lists are named rather than numbered, and its value.
func lines(n names, resp kmsg.Response) []string {
	var out []string
	walk(n, "", reflect.ValueOf(resp).Elem(), &out)
	slices.Sort(out)
	return out
}

func walk(n names, path string, v reflect.Value, out *[]string) {
	say := func(format string, args ...any) { *out = append(*out, path+" = "+fmt.Sprintf(format, args...)) }
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			say("null")
			return
		}
		walk(n, path, v.Elem(), out)
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if ignored[field.Name] {
				continue
			}
			at := strings.TrimPrefix(path+"."+field.Name, ".")
			if loose[field.Name] && field.Type.Kind() != reflect.Struct {
				*out = append(*out, at+" = "+roughly(v.Field(i)))
				continue
			}
			walk(n, at, v.Field(i), out)
		}
	case reflect.Array:
		say("%s", n.of(v.Interface().([16]byte)))
	case reflect.Slice:
		walkSlice(n, path, v, out)
	case reflect.String:
		say("%q", v.String())
	default:
		say("%v", v.Interface())
	}
}

func walkSlice(n names, path string, v reflect.Value, out *[]string) {
	switch kind := v.Type().Elem().Kind(); {
	case kind == reflect.Uint8:
		*out = append(*out, fmt.Sprintf("%s = %x", path, v.Bytes()))
	case kind == reflect.Struct:
		// The length is a line of its own: two elements that say the same would
		// otherwise look like one.
		*out = append(*out, fmt.Sprintf("%s has %d", path, v.Len()))
		for i := range v.Len() {
			walk(n, path+"["+nameOf(n, v.Index(i))+"]", v.Index(i), out)
		}
	default:
		var all []string
		for i := range v.Len() {
			all = append(all, fmt.Sprint(v.Index(i).Interface()))
		}
		slices.Sort(all)
		*out = append(*out, path+" = ["+strings.Join(all, " ")+"]")
	}
}

// nameOf is how an element of a list is called on a path.
func nameOf(n names, v reflect.Value) string {
	var parts []string
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !naming[field.Name] {
			continue
		}
		f := v.Field(i)
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		}
		if f.Kind() == reflect.Array {
			parts = append(parts, "id:"+n.of(f.Interface().([16]byte)))
			continue
		}
		parts = append(parts, fmt.Sprint(f.Interface()))
	}
	return strings.Join(parts, " ")
}

// roughly is all that two brokers have in common where a field is loose.
func roughly(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "none"
		}
		return roughly(v.Elem())
	case reflect.String, reflect.Slice:
		if v.Len() == 0 {
			return "none"
		}
		return "some"
	default:
		if v.CanInt() && v.Int() < 0 {
			return "negative"
		}
		return "a number"
	}
}

// difference is what only the oracle says (-) and what only the gateway says (+).
func difference(oracle, gateway []string) []string {
	var d []string
	for i, j := 0, 0; i < len(oracle) || j < len(gateway); {
		switch {
		case j == len(gateway) || i < len(oracle) && oracle[i] < gateway[j]:
			d = append(d, "- "+oracle[i])
			i++
		case i == len(oracle) || gateway[j] < oracle[i]:
			d = append(d, "+ "+gateway[j])
			j++
		default:
			i++
			j++
		}
	}
	return d
}
