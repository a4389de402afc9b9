package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// This file holds the APIs of administrators that name nodes or show where they
// are. All other rows offered to administrators need nothing: they pass as they
// are.

const codeInvalidReplicaAssignment int16 = 39

// blankAssignmentError takes away a text that names brokers by their own ids ("…
// includes broker 5, but no such broker is registered").
func blankAssignmentError(code int16, message **string) {
	if code == codeInvalidReplicaAssignment {
		*message = nil
	}
}

func realizeCreateTopics(req *kmsg.CreateTopicsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].ReplicaAssignment {
			all = realIDs(req.Topics[i].ReplicaAssignment[k].Replicas, n) && all
		}
	}
	return all
}

func virtualizeCreateTopics(_ *kmsg.CreateTopicsRequest, resp *kmsg.CreateTopicsResponse, _ Nodes) {
	for i := range resp.Topics {
		blankAssignmentError(resp.Topics[i].ErrorCode, &resp.Topics[i].ErrorMessage)
	}
}

func realizeCreatePartitions(req *kmsg.CreatePartitionsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].Assignment {
			all = realIDs(req.Topics[i].Assignment[k].Replicas, n) && all
		}
	}
	return all
}

func virtualizeCreatePartitions(_ *kmsg.CreatePartitionsRequest, resp *kmsg.CreatePartitionsResponse, _ Nodes) {
	for i := range resp.Topics {
		blankAssignmentError(resp.Topics[i].ErrorCode, &resp.Topics[i].ErrorMessage)
	}
}

func realizeAlterPartitionReassignments(req *kmsg.AlterPartitionAssignmentsRequest, n Nodes) bool {
	all := true
	for i := range req.Topics {
		for k := range req.Topics[i].Partitions {
			all = realIDs(req.Topics[i].Partitions[k].Replicas, n) && all
		}
	}
	return all
}

func virtualizeAlterPartitionReassignments(_ *kmsg.AlterPartitionAssignmentsRequest, resp *kmsg.AlterPartitionAssignmentsResponse, _ Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			blankAssignmentError(p.ErrorCode, &p.ErrorMessage)
		}
	}
}

func virtualizeListPartitionReassignments(_ *kmsg.ListPartitionReassignmentsRequest, resp *kmsg.ListPartitionReassignmentsResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			showIDs(p.Replicas, n)
			showIDs(p.AddingReplicas, n)
			showIDs(p.RemovingReplicas, n)
		}
	}
}

// virtualizeDescribeQuorum maps the ids of the quorum and empties the listeners:
// controllers have no virtual address.
func virtualizeDescribeQuorum(_ *kmsg.DescribeQuorumRequest, resp *kmsg.DescribeQuorumResponse, n Nodes) {
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[k]
			p.LeaderID = n.Virtual(p.LeaderID)
			for v := range p.CurrentVoters {
				p.CurrentVoters[v].ReplicaID = n.Virtual(p.CurrentVoters[v].ReplicaID)
			}
			for o := range p.Observers {
				p.Observers[o].ReplicaID = n.Virtual(p.Observers[o].ReplicaID)
			}
		}
	}
	for i := range resp.Nodes {
		resp.Nodes[i].NodeID = n.Virtual(resp.Nodes[i].NodeID)
		resp.Nodes[i].Listeners = []kmsg.DescribeQuorumResponseNodeListener{}
	}
}
