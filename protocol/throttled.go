package protocol

import "strings"

// Two configurations of topics list replicas, as partition:broker, ...: those whose
// replication is throttled while partitions move (KIP-73). Their broker ids are mapped
// both ways; "*" and "none" name no broker.

func listsReplicas(config string) bool {
	return config == "leader.replication.throttled.replicas" || config == "follower.replication.throttled.replicas"
}

// mapReplicas maps the broker ids in such a value. What is no such list stays for the
// broker to answer.
func mapReplicas(value *string, broker func(string) string) *string {
	if value == nil || !strings.Contains(*value, ":") {
		return value
	}
	replicas := strings.Split(*value, ",")
	for i, r := range replicas {
		if partition, id, ok := strings.Cut(r, ":"); ok {
			replicas[i] = partition + ":" + broker(strings.TrimSpace(id))
		}
	}
	mapped := strings.Join(replicas, ",")
	return &mapped
}

// realReplicas is the value of a topic's configuration as its slice knows it; false if
// it names a broker of another slice.
func realReplicas(config string, value *string, n Nodes) (*string, bool) {
	if !listsReplicas(config) {
		return value, true
	}
	all := true
	return mapReplicas(value, func(id string) string {
		text, ok := realName(id, n)
		all = all && ok
		return text
	}), all
}

// shownReplicas is the value of a topic's configuration as clients see it.
func shownReplicas(config string, value *string, n Nodes) *string {
	if !listsReplicas(config) {
		return value
	}
	return mapReplicas(value, func(id string) string { return shownName(id, n) })
}

// showReplicasText takes away a text that quotes such a value as its slice knows it.
func showReplicasText(message **string, n Nodes) {
	if n.Slot != 0 && *message != nil && strings.Contains(**message, "replication.throttled.replicas") {
		*message = nil
	}
}
