package protocol

import "github.com/twmb/franz-go/pkg/kmsg"

// apis is the table: one row for each API key that Kafka has given out. A key
// without versions is never offered. A duplicate key does not compile.
//
// Access follows what a broker offers on a client listener; the maxima are those
// of Kafka 4.3 and below what kmsg encodes faithfully (InitProducerId 6 is
// unstable and unknown to it; AddPartitionsToTxn 4 and later are for brokers).
var apis = [...]*API{
	0: define(API{Key: 0, Name: "Produce", Min: 0, Max: 13, Access: Pass, Plain: plainProduce}, row[*kmsg.ProduceRequest, *kmsg.ProduceResponse]{
		split:      splitProduce,
		merge:      mergeProduce,
		virtualize: virtualizeProduce,
	}),
	1: define(API{Key: 1, Name: "Fetch", Min: 0, Max: 18, Access: Pass}, row[*kmsg.FetchRequest, *kmsg.FetchResponse]{
		split:      splitFetch,
		merge:      mergeFetch,
		virtualize: virtualizeFetch,
	}),
	2: define(API{Key: 2, Name: "ListOffsets", Min: 0, Max: 11, Access: Pass}, row[*kmsg.ListOffsetsRequest, *kmsg.ListOffsetsResponse]{split: splitListOffsets, merge: mergeListOffsets}),
	3: define(API{Key: 3, Name: "Metadata", Min: 0, Max: 13, Access: Pass}, row[*kmsg.MetadataRequest, *kmsg.MetadataResponse]{
		split:      splitMetadata,
		merge:      mergeMetadata,
		filter:     filterMetadata,
		virtualize: virtualizeMetadata,
	}),
	4:  {Key: 4, Name: "LeaderAndIsr"},
	5:  {Key: 5, Name: "StopReplica"},
	6:  {Key: 6, Name: "UpdateMetadata"},
	7:  {Key: 7, Name: "ControlledShutdown"},
	8:  define(API{Key: 8, Name: "OffsetCommit", Min: 0, Max: 10, Access: Pass, Exempt: true}, row[*kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse]{split: splitOffsetCommit, merge: mergeOffsetCommit}),
	9:  define(API{Key: 9, Name: "OffsetFetch", Min: 0, Max: 10, Access: Pass}, row[*kmsg.OffsetFetchRequest, *kmsg.OffsetFetchResponse]{split: splitOffsetFetch, merge: mergeOffsetFetch, filter: filterOffsetFetch}),
	10: define(API{Key: 10, Name: "FindCoordinator", Min: 0, Max: 6, Access: Pass}, row[*kmsg.FindCoordinatorRequest, *kmsg.FindCoordinatorResponse]{split: splitFindCoordinator, merge: mergeFindCoordinator, virtualize: virtualizeFindCoordinator}),
	11: define(API{Key: 11, Name: "JoinGroup", Min: 0, Max: 9, Access: Pass, Exempt: true}, row[*kmsg.JoinGroupRequest, *kmsg.JoinGroupResponse]{split: splitJoinGroup}),
	12: define(API{Key: 12, Name: "Heartbeat", Min: 0, Max: 4, Access: Pass, Exempt: true}, row[*kmsg.HeartbeatRequest, *kmsg.HeartbeatResponse]{split: splitHeartbeat}),
	13: define(API{Key: 13, Name: "LeaveGroup", Min: 0, Max: 5, Access: Pass, Exempt: true}, row[*kmsg.LeaveGroupRequest, *kmsg.LeaveGroupResponse]{split: splitLeaveGroup}),
	14: define(API{Key: 14, Name: "SyncGroup", Min: 0, Max: 5, Access: Pass, Exempt: true}, row[*kmsg.SyncGroupRequest, *kmsg.SyncGroupResponse]{split: splitSyncGroup}),
	15: define(API{Key: 15, Name: "DescribeGroups", Min: 0, Max: 6, Access: Pass}, row[*kmsg.DescribeGroupsRequest, *kmsg.DescribeGroupsResponse]{split: splitDescribeGroups, merge: mergeDescribeGroups, filter: filterDescribeGroups}),
	16: define(API{Key: 16, Name: "ListGroups", Min: 0, Max: 5, Access: Pass}, row[*kmsg.ListGroupsRequest, *kmsg.ListGroupsResponse]{filter: filterListGroups}),
	17: {Key: 17, Name: "SaslHandshake"},
	18: {Key: 18, Name: "ApiVersions", Min: 0, Max: 4, Access: Local, Exempt: true},
	19: define(API{Key: 19, Name: "CreateTopics", Min: 0, Max: 7, Access: Pass}, row[*kmsg.CreateTopicsRequest, *kmsg.CreateTopicsResponse]{
		split:      splitCreateTopics,
		merge:      mergeCreateTopics,
		filter:     filterCreateTopics,
		realize:    realizeCreateTopics,
		virtualize: virtualizeCreateTopics,
	}),
	20: define(API{Key: 20, Name: "DeleteTopics", Min: 0, Max: 6, Access: Pass}, row[*kmsg.DeleteTopicsRequest, *kmsg.DeleteTopicsResponse]{
		split: splitDeleteTopics,
		merge: mergeDeleteTopics,
	}),
	21: define(API{Key: 21, Name: "DeleteRecords", Min: 0, Max: 2, Access: Pass}, row[*kmsg.DeleteRecordsRequest, *kmsg.DeleteRecordsResponse]{split: splitDeleteRecords, merge: mergeDeleteRecords}),
	22: define(API{Key: 22, Name: "InitProducerId", Min: 0, Max: 5, Access: Pass, Decode: true}, row[*kmsg.InitProducerIDRequest, *kmsg.InitProducerIDResponse]{
		split:      splitInitProducerID,
		realize:    realizeInitProducerID,
		virtualize: virtualizeInitProducerID,
	}),
	23: define(API{Key: 23, Name: "OffsetForLeaderEpoch", Min: 0, Max: 4, Access: Pass}, row[*kmsg.OffsetForLeaderEpochRequest, *kmsg.OffsetForLeaderEpochResponse]{split: splitOffsetForLeaderEpoch, merge: mergeOffsetForLeaderEpoch}),
	24: define(API{Key: 24, Name: "AddPartitionsToTxn", Min: 0, Max: 3, Access: Pass, Exempt: true}, row[*kmsg.AddPartitionsToTxnRequest, *kmsg.AddPartitionsToTxnResponse]{split: splitAddPartitionsToTxn}),
	25: define(API{Key: 25, Name: "AddOffsetsToTxn", Min: 0, Max: 4, Access: Pass, Exempt: true}, row[*kmsg.AddOffsetsToTxnRequest, *kmsg.AddOffsetsToTxnResponse]{split: splitAddOffsetsToTxn}),
	26: define(API{Key: 26, Name: "EndTxn", Min: 0, Max: 5, Access: Pass, Exempt: true}, row[*kmsg.EndTxnRequest, *kmsg.EndTxnResponse]{split: splitEndTxn}),
	27: define(API{Key: 27, Name: "WriteTxnMarkers", Min: 0, Max: 2, Access: Pass}, row[*kmsg.WriteTxnMarkersRequest, *kmsg.WriteTxnMarkersResponse]{
		split: splitWriteTxnMarkers,
	}),
	28: define(API{Key: 28, Name: "TxnOffsetCommit", Min: 0, Max: 5, Access: Pass, Exempt: true}, row[*kmsg.TxnOffsetCommitRequest, *kmsg.TxnOffsetCommitResponse]{split: splitTxnOffsetCommit, merge: mergeTxnOffsetCommit}),
	29: define(API{Key: 29, Name: "DescribeAcls", Min: 0, Max: 3, Access: Pass}, row[*kmsg.DescribeACLsRequest, *kmsg.DescribeACLsResponse]{
		split: byCluster(OpDescribe, deniedDescribeACLs),
	}),
	30: define(API{Key: 30, Name: "CreateAcls", Min: 0, Max: 3, Access: Pass}, row[*kmsg.CreateACLsRequest, *kmsg.CreateACLsResponse]{
		split: byCluster(OpAlter, deniedCreateACLs),
	}),
	31: define(API{Key: 31, Name: "DeleteAcls", Min: 0, Max: 3, Access: Pass}, row[*kmsg.DeleteACLsRequest, *kmsg.DeleteACLsResponse]{
		split: byCluster(OpAlter, deniedDeleteACLs),
	}),
	32: define(API{Key: 32, Name: "DescribeConfigs", Min: 0, Max: 4, Access: Pass}, row[*kmsg.DescribeConfigsRequest, *kmsg.DescribeConfigsResponse]{
		split:      splitDescribeConfigs,
		merge:      mergeDescribeConfigs,
		realize:    realizeDescribeConfigs,
		virtualize: virtualizeDescribeConfigs,
	}),
	33: define(API{Key: 33, Name: "AlterConfigs", Min: 0, Max: 2, Access: Pass}, row[*kmsg.AlterConfigsRequest, *kmsg.AlterConfigsResponse]{
		split:      splitAlterConfigs,
		merge:      mergeAlterConfigs,
		realize:    realizeAlterConfigs,
		virtualize: virtualizeAlterConfigs,
	}),
	34: define(API{Key: 34, Name: "AlterReplicaLogDirs", Min: 0, Max: 2, Access: Pass}, row[*kmsg.AlterReplicaLogDirsRequest, *kmsg.AlterReplicaLogDirsResponse]{
		split: byCluster(OpAlter, deniedAlterReplicaLogDirs),
	}),
	35: define(API{Key: 35, Name: "DescribeLogDirs", Min: 0, Max: 5, Access: Pass}, row[*kmsg.DescribeLogDirsRequest, *kmsg.DescribeLogDirsResponse]{
		split:  byCluster(OpDescribe, deniedDescribeLogDirs),
		filter: filterDescribeLogDirs,
	}),
	36: {Key: 36, Name: "SaslAuthenticate"},
	37: define(API{Key: 37, Name: "CreatePartitions", Min: 0, Max: 3, Access: Pass}, row[*kmsg.CreatePartitionsRequest, *kmsg.CreatePartitionsResponse]{
		split:      splitCreatePartitions,
		merge:      mergeCreatePartitions,
		realize:    realizeCreatePartitions,
		virtualize: virtualizeCreatePartitions,
	}),
	// Delegation tokens stay refused: one is known to one cluster alone, and a client
	// can only use it with SASL, as whoever it was made for on the broker's side.
	38: {Key: 38, Name: "CreateDelegationToken"},
	39: {Key: 39, Name: "RenewDelegationToken"},
	40: {Key: 40, Name: "ExpireDelegationToken"},
	41: {Key: 41, Name: "DescribeDelegationToken"},
	42: define(API{Key: 42, Name: "DeleteGroups", Min: 0, Max: 2, Access: Pass}, row[*kmsg.DeleteGroupsRequest, *kmsg.DeleteGroupsResponse]{
		split: splitDeleteGroups,
		merge: mergeDeleteGroups,
	}),
	43: define(API{Key: 43, Name: "ElectLeaders", Min: 0, Max: 2, Access: Pass}, row[*kmsg.ElectLeadersRequest, *kmsg.ElectLeadersResponse]{
		split: byCluster(OpAlter, deniedElectLeaders),
	}),
	44: define(API{Key: 44, Name: "IncrementalAlterConfigs", Min: 0, Max: 1, Access: Pass}, row[*kmsg.IncrementalAlterConfigsRequest, *kmsg.IncrementalAlterConfigsResponse]{
		split:      splitIncrementalAlterConfigs,
		merge:      mergeIncrementalAlterConfigs,
		realize:    realizeIncrementalAlterConfigs,
		virtualize: virtualizeIncrementalAlterConfigs,
	}),
	45: define(API{Key: 45, Name: "AlterPartitionReassignments", Min: 0, Max: 1, Access: Pass}, row[*kmsg.AlterPartitionAssignmentsRequest, *kmsg.AlterPartitionAssignmentsResponse]{
		split:      byCluster(OpAlter, deniedAlterPartitionReassignments),
		realize:    realizeAlterPartitionReassignments,
		virtualize: virtualizeAlterPartitionReassignments,
	}),
	46: define(API{Key: 46, Name: "ListPartitionReassignments", Min: 0, Max: 0, Access: Pass}, row[*kmsg.ListPartitionReassignmentsRequest, *kmsg.ListPartitionReassignmentsResponse]{
		split:      byCluster(OpDescribe, deniedListPartitionReassignments),
		filter:     filterListPartitionReassignments,
		virtualize: virtualizeListPartitionReassignments,
	}),
	47: define(API{Key: 47, Name: "OffsetDelete", Min: 0, Max: 0, Access: Pass}, row[*kmsg.OffsetDeleteRequest, *kmsg.OffsetDeleteResponse]{
		split: splitOffsetDelete,
		merge: mergeOffsetDelete,
	}),
	48: define(API{Key: 48, Name: "DescribeClientQuotas", Min: 0, Max: 1, Access: Pass}, row[*kmsg.DescribeClientQuotasRequest, *kmsg.DescribeClientQuotasResponse]{
		split: byCluster(OpDescribeConfigs, deniedDescribeClientQuotas),
	}),
	49: define(API{Key: 49, Name: "AlterClientQuotas", Min: 0, Max: 1, Access: Pass}, row[*kmsg.AlterClientQuotasRequest, *kmsg.AlterClientQuotasResponse]{
		split: byCluster(OpAlterConfigs, deniedAlterClientQuotas),
	}),
	50: define(API{Key: 50, Name: "DescribeUserScramCredentials", Min: 0, Max: 0, Access: Pass}, row[*kmsg.DescribeUserSCRAMCredentialsRequest, *kmsg.DescribeUserSCRAMCredentialsResponse]{
		split: byCluster(OpDescribe, deniedDescribeUsers),
	}),
	51: define(API{Key: 51, Name: "AlterUserScramCredentials", Min: 0, Max: 0, Access: Pass}, row[*kmsg.AlterUserSCRAMCredentialsRequest, *kmsg.AlterUserSCRAMCredentialsResponse]{
		split: byCluster(OpAlter, deniedAlterUsers),
	}),
	52: {Key: 52, Name: "Vote"},
	53: {Key: 53, Name: "BeginQuorumEpoch"},
	54: {Key: 54, Name: "EndQuorumEpoch"},
	55: define(API{Key: 55, Name: "DescribeQuorum", Min: 0, Max: 2, Access: Pass}, row[*kmsg.DescribeQuorumRequest, *kmsg.DescribeQuorumResponse]{
		split:      byCluster(OpDescribe, deniedDescribeQuorum),
		virtualize: virtualizeDescribeQuorum,
	}),
	56: {Key: 56, Name: "AlterPartition"},
	57: define(API{Key: 57, Name: "UpdateFeatures", Min: 0, Max: 2, Access: Pass}, row[*kmsg.UpdateFeaturesRequest, *kmsg.UpdateFeaturesResponse]{
		split:      byCluster(OpAlter, deniedUpdateFeatures),
		virtualize: virtualizeUpdateFeatures,
	}),
	58: {Key: 58, Name: "Envelope"},
	59: {Key: 59, Name: "FetchSnapshot"},
	60: define(API{Key: 60, Name: "DescribeCluster", Min: 0, Max: 2, Access: Pass}, row[*kmsg.DescribeClusterRequest, *kmsg.DescribeClusterResponse]{
		split:      splitDescribeCluster,
		filter:     filterDescribeCluster,
		virtualize: virtualizeDescribeCluster,
	}),
	61: define(API{Key: 61, Name: "DescribeProducers", Min: 0, Max: 0, Access: Pass}, row[*kmsg.DescribeProducersRequest, *kmsg.DescribeProducersResponse]{
		split: splitDescribeProducers,
		merge: mergeDescribeProducers,
	}),
	62: {Key: 62, Name: "BrokerRegistration"},
	63: {Key: 63, Name: "BrokerHeartbeat"},
	64: define(API{Key: 64, Name: "UnregisterBroker", Min: 0, Max: 0, Access: Pass}, row[*kmsg.UnregisterBrokerRequest, *kmsg.UnregisterBrokerResponse]{
		split:      byCluster(OpAlter, deniedUnregisterBroker),
		realize:    realizeUnregisterBroker,
		virtualize: virtualizeUnregisterBroker,
	}),
	65: define(API{Key: 65, Name: "DescribeTransactions", Min: 0, Max: 0, Access: Pass}, row[*kmsg.DescribeTransactionsRequest, *kmsg.DescribeTransactionsResponse]{
		split:  splitDescribeTransactions,
		merge:  mergeDescribeTransactions,
		filter: filterDescribeTransactions,
	}),
	66: define(API{Key: 66, Name: "ListTransactions", Min: 0, Max: 2, Access: Pass}, row[*kmsg.ListTransactionsRequest, *kmsg.ListTransactionsResponse]{
		filter: filterListTransactions,
	}),
	67: {Key: 67, Name: "AllocateProducerIds"},
	68: define(API{Key: 68, Name: "ConsumerGroupHeartbeat", Min: 0, Max: 1, Access: Pass, Exempt: true}, row[*kmsg.ConsumerGroupHeartbeatRequest, *kmsg.ConsumerGroupHeartbeatResponse]{split: splitConsumerGroupHeartbeat, filter: filterConsumerGroupHeartbeat}),
	69: define(API{Key: 69, Name: "ConsumerGroupDescribe", Min: 0, Max: 1, Access: Pass}, row[*kmsg.ConsumerGroupDescribeRequest, *kmsg.ConsumerGroupDescribeResponse]{split: splitConsumerGroupDescribe, merge: mergeConsumerGroupDescribe, filter: filterConsumerGroupDescribe}),
	70: {Key: 70, Name: "ControllerRegistration"},
	71: {Key: 71, Name: "GetTelemetrySubscriptions"},
	72: {Key: 72, Name: "PushTelemetry"},
	73: {Key: 73, Name: "AssignReplicasToDirs"},
	74: define(API{Key: 74, Name: "ListConfigResources", Min: 0, Max: 1, Access: Pass}, row[*kmsg.ListConfigResourcesRequest, *kmsg.ListConfigResourcesResponse]{
		split:      byCluster(OpDescribeConfigs, deniedListConfigResources),
		filter:     filterListConfigResources,
		virtualize: virtualizeListConfigResources,
	}),
	75: define(API{Key: 75, Name: "DescribeTopicPartitions", Min: 0, Max: 0, Access: Pass}, row[*kmsg.DescribeTopicPartitionsRequest, *kmsg.DescribeTopicPartitionsResponse]{
		split:      splitDescribeTopicPartitions,
		merge:      mergeDescribeTopicPartitions,
		filter:     filterDescribeTopicPartitions,
		virtualize: virtualizeDescribeTopicPartitions,
	}),
	76: define(API{Key: 76, Name: "ShareGroupHeartbeat", Min: 1, Max: 1, Access: Pass, Exempt: true}, row[*kmsg.ShareGroupHeartbeatRequest, *kmsg.ShareGroupHeartbeatResponse]{split: splitShareGroupHeartbeat}),
	77: define(API{Key: 77, Name: "ShareGroupDescribe", Min: 1, Max: 1, Access: Pass}, row[*kmsg.ShareGroupDescribeRequest, *kmsg.ShareGroupDescribeResponse]{split: splitShareGroupDescribe, merge: mergeShareGroupDescribe, filter: filterShareGroupDescribe}),
	78: define(API{Key: 78, Name: "ShareFetch", Min: 1, Max: 2, Access: Pass, Decode: true}, row[*kmsg.ShareFetchRequest, *kmsg.ShareFetchResponse]{split: splitShareFetch, merge: mergeShareFetch, filter: filterShareFetch, virtualize: virtualizeShareFetch}),
	79: define(API{Key: 79, Name: "ShareAcknowledge", Min: 1, Max: 2, Access: Pass, Exempt: true}, row[*kmsg.ShareAcknowledgeRequest, *kmsg.ShareAcknowledgeResponse]{split: splitShareAcknowledge, merge: mergeShareAcknowledge, virtualize: virtualizeShareAcknowledge}),
	80: define(API{Key: 80, Name: "AddRaftVoter", Min: 0, Max: 1, Access: Pass}, row[*kmsg.AddRaftVoterRequest, *kmsg.AddRaftVoterResponse]{
		split:      byCluster(OpAlter, deniedAddRaftVoter),
		realize:    realizeAddRaftVoter,
		virtualize: virtualizeAddRaftVoter,
	}),
	81: define(API{Key: 81, Name: "RemoveRaftVoter", Min: 0, Max: 0, Access: Pass}, row[*kmsg.RemoveRaftVoterRequest, *kmsg.RemoveRaftVoterResponse]{
		split:      byCluster(OpAlter, deniedRemoveRaftVoter),
		realize:    realizeRemoveRaftVoter,
		virtualize: virtualizeRemoveRaftVoter,
	}),
	82: {Key: 82, Name: "UpdateRaftVoter"},
	83: {Key: 83, Name: "InitializeShareGroupState"},
	84: {Key: 84, Name: "ReadShareGroupState"},
	85: {Key: 85, Name: "WriteShareGroupState"},
	86: {Key: 86, Name: "DeleteShareGroupState"},
	87: {Key: 87, Name: "ReadShareGroupStateSummary"},
	88: define(API{Key: 88, Name: "StreamsGroupHeartbeat", Min: 0, Max: 0, Access: Pass, Exempt: true}, row[*kmsg.StreamsGroupHeartbeatRequest, *kmsg.StreamsGroupHeartbeatResponse]{split: splitStreamsGroupHeartbeat}),
	89: define(API{Key: 89, Name: "StreamsGroupDescribe", Min: 0, Max: 0, Access: Pass}, row[*kmsg.StreamsGroupDescribeRequest, *kmsg.StreamsGroupDescribeResponse]{split: splitStreamsGroupDescribe, merge: mergeStreamsGroupDescribe, filter: filterStreamsGroupDescribe}),
	90: define(API{Key: 90, Name: "DescribeShareGroupOffsets", Min: 0, Max: 1, Access: Pass}, row[*kmsg.DescribeShareGroupOffsetsRequest, *kmsg.DescribeShareGroupOffsetsResponse]{split: splitDescribeShareGroupOffsets, merge: mergeDescribeShareGroupOffsets, filter: filterDescribeShareGroupOffsets}),
	91: define(API{Key: 91, Name: "AlterShareGroupOffsets", Min: 0, Max: 0, Access: Pass}, row[*kmsg.AlterShareGroupOffsetsRequest, *kmsg.AlterShareGroupOffsetsResponse]{
		split: splitAlterShareGroupOffsets,
		merge: mergeAlterShareGroupOffsets,
	}),
	92: define(API{Key: 92, Name: "DeleteShareGroupOffsets", Min: 0, Max: 0, Access: Pass}, row[*kmsg.DeleteShareGroupOffsetsRequest, *kmsg.DeleteShareGroupOffsetsResponse]{
		split: splitDeleteShareGroupOffsets,
		merge: mergeDeleteShareGroupOffsets,
	}),
	93: {Key: 93, Name: "StreamsGroupTopologyDescriptionUpdate"},
	94: {Key: 94, Name: "UnregisterController"},
}
