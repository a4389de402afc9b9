package matrix

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func topicEntries() []entry {
	metadata := func(q *kmsg.MetadataRequest, names []string) {
		q.Topics = each(names, func(n string) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{Topic: &n} })
	}
	create := func(q *kmsg.CreateTopicsRequest, names ...string) {
		q.TimeoutMillis = 5000
		q.Topics = each(names, func(n string) kmsg.CreateTopicsRequestTopic {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = n, 1, 1
			return t
		})
	}
	createdTopics := func(t testing.TB, s *side, token string) {
		s.broker.CreateTopics(t, 1, shut+"del."+token, open+"del."+token, "other.del."+token)
	}
	describe := func(q *kmsg.DescribeTopicPartitionsRequest, names []string) {
		q.ResponsePartitionLimit = 2000
		q.Topics = each(names, func(n string) kmsg.DescribeTopicPartitionsRequestTopic {
			return kmsg.DescribeTopicPartitionsRequestTopic{Topic: n}
		})
	}
	return []entry{
		ask("Metadata", 3, func(q *kmsg.MetadataRequest, c in) { metadata(q, topics) }, "TOPIC-DESCRIBE").from(4),
		ask("Metadata of what exists", 3, func(q *kmsg.MetadataRequest, c in) { metadata(q, existing) }, "TOPIC-DESCRIBE"),
		ask("Metadata with operations", 3, func(q *kmsg.MetadataRequest, c in) {
			metadata(q, existing)
			q.IncludeClusterAuthorizedOperations, q.IncludeTopicAuthorizedOperations = true, true
		}, "TOPIC-READ", "TOPIC-WRITE", "TOPIC-CREATE", "TOPIC-DELETE", "TOPIC-ALTER", "TOPIC-DESCRIBE", "TOPIC-DESCRIBE_CONFIGS", "TOPIC-ALTER_CONFIGS").from(8),
		ask("Metadata of all topics", 3, func(q *kmsg.MetadataRequest, c in) {}, "TOPIC-DESCRIBE"),
		ask("Metadata of all topics with operations", 3, func(q *kmsg.MetadataRequest, c in) {
			q.IncludeTopicAuthorizedOperations = true
		}, "TOPIC-READ", "TOPIC-WRITE", "TOPIC-CREATE", "TOPIC-DELETE", "TOPIC-ALTER", "TOPIC-DESCRIBE", "TOPIC-DESCRIBE_CONFIGS", "TOPIC-ALTER_CONFIGS").from(8),
		ask("Metadata by id", 3, func(q *kmsg.MetadataRequest, c in) {
			q.Topics = each(topicsBy(c, 12), func(n string) kmsg.MetadataRequestTopic { return kmsg.MetadataRequestTopic{TopicID: c.side.id(n)} })
		}, "TOPIC-DESCRIBE").from(12),
		ask("Metadata that creates", 3, func(q *kmsg.MetadataRequest, c in) {
			metadata(q, []string{shut + "auto." + c.token, open + "t", "other.auto." + c.token})
			q.AllowAutoTopicCreation = true
		}, "TOPIC-DESCRIBE").change(nil),
		ask("CreateTopics", 19, func(q *kmsg.CreateTopicsRequest, c in) {
			create(q, shut+"new", open+"new", "other.new", shut+"t", "other.t", "bad name")
			q.ValidateOnly = true
		}, "TOPIC-DESCRIBE_CONFIGS", "TOPIC-CREATE", "CLUSTER-CREATE").from(2),
		ask("CreateTopics for good", 19, func(q *kmsg.CreateTopicsRequest, c in) { create(q, shut+"new."+c.token) }, "TOPIC-DESCRIBE_CONFIGS", "TOPIC-CREATE").from(7).change(nil),
		ask("DeleteTopics of none", 20, func(q *kmsg.DeleteTopicsRequest, c in) {
			names := []string{shut + "absent", open + "absent", "other.absent"}
			if c.version < 6 {
				q.TopicNames = names
				return
			}
			q.Topics = each(names, func(n string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &n} })
			q.Topics = append(q.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: absentID})
		}, "TOPIC-DESCRIBE").from(1),
		ask("DeleteTopics", 20, func(q *kmsg.DeleteTopicsRequest, c in) {
			names := []string{shut + "del." + c.token, open + "del." + c.token, "other.del." + c.token, "other.absent"}
			q.TimeoutMillis, q.TopicNames = 5000, names
			q.Topics = each(names, func(n string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &n} })
		}, "TOPIC-DELETE").from(1).change(createdTopics),
		ask("DeleteTopics by id", 20, func(q *kmsg.DeleteTopicsRequest, c in) {
			q.TimeoutMillis = 5000
			q.Topics = each([]string{shut + "del." + c.token, open + "del." + c.token, "other.del." + c.token}, func(n string) kmsg.DeleteTopicsRequestTopic {
				return kmsg.DeleteTopicsRequestTopic{TopicID: c.side.lookUp(n)}
			})
		}, "TOPIC-DELETE").from(6).change(createdTopics),
		ask("CreatePartitions", 37, func(q *kmsg.CreatePartitionsRequest, c in) {
			q.ValidateOnly, q.TimeoutMillis = true, 5000
			q.Topics = each(topics, func(n string) kmsg.CreatePartitionsRequestTopic {
				return kmsg.CreatePartitionsRequestTopic{Topic: n, Count: 3}
			})
		}, "TOPIC-ALTER"),
		ask("DescribeTopicPartitions", 75, func(q *kmsg.DescribeTopicPartitionsRequest, c in) { describe(q, topics) },
			"TOPIC-READ", "TOPIC-WRITE", "TOPIC-CREATE", "TOPIC-DELETE", "TOPIC-ALTER", "TOPIC-DESCRIBE", "TOPIC-DESCRIBE_CONFIGS", "TOPIC-ALTER_CONFIGS"),
		ask("DescribeTopicPartitions of all topics", 75, func(q *kmsg.DescribeTopicPartitionsRequest, c in) { describe(q, nil) },
			"TOPIC-READ", "TOPIC-WRITE", "TOPIC-CREATE", "TOPIC-DELETE", "TOPIC-ALTER", "TOPIC-DESCRIBE", "TOPIC-DESCRIBE_CONFIGS", "TOPIC-ALTER_CONFIGS"),
		ask("DescribeTopicPartitions from a cursor", 75, func(q *kmsg.DescribeTopicPartitionsRequest, c in) {
			describe(q, existing)
			q.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: shut + "t", Partition: 1}
		}, "TOPIC-READ", "TOPIC-WRITE", "TOPIC-CREATE", "TOPIC-DELETE", "TOPIC-ALTER", "TOPIC-DESCRIBE", "TOPIC-DESCRIBE_CONFIGS", "TOPIC-ALTER_CONFIGS"),
		ask("ElectLeaders", 43, func(q *kmsg.ElectLeadersRequest, c in) {
			q.TimeoutMillis = 5000
			q.Topics = each(topics, func(n string) kmsg.ElectLeadersRequestTopic {
				return kmsg.ElectLeadersRequestTopic{Topic: n, Partitions: []int32{0}}
			})
		}, "CLUSTER-ALTER"),
		ask("AlterPartitionReassignments", 45, func(q *kmsg.AlterPartitionAssignmentsRequest, c in) {
			q.TimeoutMillis = 5000
			q.Topics = each(topics, func(n string) kmsg.AlterPartitionAssignmentsRequestTopic {
				return kmsg.AlterPartitionAssignmentsRequestTopic{Topic: n, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0}}}
			})
		}, "CLUSTER-ALTER"),
		ask("ListPartitionReassignments", 46, func(q *kmsg.ListPartitionReassignmentsRequest, c in) { q.TimeoutMillis = 5000 }, "CLUSTER-DESCRIBE"),
		ask("AlterReplicaLogDirs", 34, func(q *kmsg.AlterReplicaLogDirsRequest, c in) {
			q.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: "/nowhere", Topics: each(topics, func(n string) kmsg.AlterReplicaLogDirsRequestDirTopic {
				return kmsg.AlterReplicaLogDirsRequestDirTopic{Topic: n, Partitions: []int32{0}}
			})}}
		}, "CLUSTER-ALTER").from(1),
		ask("DescribeLogDirs", 35, func(q *kmsg.DescribeLogDirsRequest, c in) {
			q.Topics = each(topics, func(n string) kmsg.DescribeLogDirsRequestTopic {
				return kmsg.DescribeLogDirsRequestTopic{Topic: n, Partitions: []int32{0}}
			})
		}, "CLUSTER-DESCRIBE").from(1),
		ask("DescribeLogDirs of all topics", 35, func(q *kmsg.DescribeLogDirsRequest, c in) {}, "CLUSTER-DESCRIBE").from(1),
	}
}

// lookUp is the id of a topic that was created a moment ago.
func (s *side) lookUp(topic string) [16]byte {
	c := conn{address: s.broker.Address, clientID: "furnish"}
	defer c.close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 12, []kmsg.MetadataRequestTopic{{Topic: &topic}}
	for range 100 {
		resp, err := c.ask(context.Background(), req)
		if err == nil {
			if id := resp.(*kmsg.MetadataResponse).Topics[0].TopicID; id != ([16]byte{}) {
				return id
			}
		}
		time.Sleep(50 * time.Millisecond) // a broker learns of it from the controller
	}
	return absentID
}

func configEntries() []entry {
	const loggerName = "kafka.server.KafkaApis"
	resource := func(r kmsg.ConfigResourceType, name string) kmsg.DescribeConfigsRequestResource {
		return kmsg.DescribeConfigsRequestResource{ResourceType: r, ResourceName: name}
	}
	alter := func(r kmsg.ConfigResourceType, key, value string, names ...string) []kmsg.AlterConfigsRequestResource {
		return each(names, func(n string) kmsg.AlterConfigsRequestResource {
			return kmsg.AlterConfigsRequestResource{ResourceType: r, ResourceName: n, Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}
		})
	}
	increment := func(r kmsg.ConfigResourceType, key, value string, names ...string) []kmsg.IncrementalAlterConfigsRequestResource {
		return each(names, func(n string) kmsg.IncrementalAlterConfigsRequestResource {
			return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: r, ResourceName: n, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}
		})
	}
	return []entry{
		ask("DescribeConfigs of topics", 32, func(q *kmsg.DescribeConfigsRequest, c in) {
			q.Resources = each(topics, func(n string) kmsg.DescribeConfigsRequestResource { return resource(kmsg.ConfigResourceTypeTopic, n) })
			q.IncludeSynonyms = true
		}, "TOPIC-DESCRIBE_CONFIGS").from(1),
		ask("DescribeConfigs of groups", 32, func(q *kmsg.DescribeConfigsRequest, c in) {
			q.Resources = each(groups, func(n string) kmsg.DescribeConfigsRequestResource {
				return resource(kmsg.ConfigResourceTypeGroupConfig, n)
			})
		}, "GROUP-DESCRIBE_CONFIGS").from(1),
		ask("DescribeConfigs of all kinds", 32, func(q *kmsg.DescribeConfigsRequest, c in) {
			q.Resources = []kmsg.DescribeConfigsRequestResource{
				resource(kmsg.ConfigResourceTypeTopic, shut+"t"), resource(kmsg.ConfigResourceTypeBroker, "1"), resource(kmsg.ConfigResourceTypeBroker, ""),
				resource(kmsg.ConfigResourceTypeClientMetrics, "some"), resource(kmsg.ConfigResourceTypeGroupConfig, shut+"g"),
			}
			for i := range q.Resources {
				q.Resources[i].ConfigNames = []string{"cleanup.policy", "num.io.threads", "interval.ms", "share.auto.offset.reset"}
			}
		}, "TOPIC-DESCRIBE_CONFIGS", "CLUSTER-DESCRIBE_CONFIGS", "GROUP-DESCRIBE_CONFIGS").from(1),
		ask("DescribeConfigs of loggers", 32, func(q *kmsg.DescribeConfigsRequest, c in) {
			q.Resources = []kmsg.DescribeConfigsRequestResource{resource(kmsg.ConfigResourceTypeBrokerLogger, "1")}
			q.Resources[0].ConfigNames = []string{loggerName}
		}, "CLUSTER-DESCRIBE_CONFIGS").from(1),
		ask("AlterConfigs", 33, func(q *kmsg.AlterConfigsRequest, c in) {
			q.ValidateOnly = true
			q.Resources = alter(kmsg.ConfigResourceTypeTopic, "retention.ms", "1000000", topics...)
			q.Resources = append(q.Resources, alter(kmsg.ConfigResourceTypeBroker, "log.retention.ms", "1000000", "1", "")...)
			q.Resources = append(q.Resources, alter(kmsg.ConfigResourceTypeGroupConfig, "share.auto.offset.reset", "latest", groups...)...)
			q.Resources = append(q.Resources, alter(kmsg.ConfigResourceTypeClientMetrics, "interval.ms", "100000", "some")...)
		}, "TOPIC-ALTER_CONFIGS", "CLUSTER-ALTER_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("IncrementalAlterConfigs", 44, func(q *kmsg.IncrementalAlterConfigsRequest, c in) {
			q.ValidateOnly = true
			q.Resources = increment(kmsg.ConfigResourceTypeTopic, "retention.ms", "1000000", topics...)
			q.Resources = append(q.Resources, increment(kmsg.ConfigResourceTypeBroker, "log.retention.ms", "1000000", "1", "")...)
			q.Resources = append(q.Resources, increment(kmsg.ConfigResourceTypeGroupConfig, "share.auto.offset.reset", "latest", groups...)...)
			q.Resources = append(q.Resources, increment(kmsg.ConfigResourceTypeClientMetrics, "interval.ms", "100000", "some")...)
			q.Resources = append(q.Resources, increment(kmsg.ConfigResourceTypeBrokerLogger, loggerName, "INFO", "1")...)
		}, "TOPIC-ALTER_CONFIGS", "CLUSTER-ALTER_CONFIGS", "GROUP-ALTER_CONFIGS"),
		ask("IncrementalAlterConfigs for good", 44, func(q *kmsg.IncrementalAlterConfigsRequest, c in) {
			q.Resources = increment(kmsg.ConfigResourceTypeTopic, "retention.ms", "604800001", shut+"p", open+"p", "other.p")
		}, "TOPIC-ALTER_CONFIGS").change(nil),
		ask("ListConfigResources", 74, func(q *kmsg.ListConfigResourcesRequest, c in) { q.ResourceTypes = []int8{4, 8, 16, 32} }, "CLUSTER-DESCRIBE_CONFIGS"),
		ask("ListConfigResources of all types", 74, func(q *kmsg.ListConfigResourcesRequest, c in) {}, "CLUSTER-DESCRIBE_CONFIGS"),
	}
}

func clusterEntries() []entry {
	return []entry{
		ask("DescribeCluster", 60, func(q *kmsg.DescribeClusterRequest, c in) {
			q.EndpointType, q.IncludeClusterAuthorizedOperations = 1, true
		}, "CLUSTER-CREATE", "CLUSTER-CLUSTER_ACTION", "CLUSTER-DESCRIBE_CONFIGS", "CLUSTER-ALTER_CONFIGS", "CLUSTER-IDEMPOTENT_WRITE", "CLUSTER-ALTER", "CLUSTER-DESCRIBE"),
		ask("DescribeCluster plainly", 60, func(q *kmsg.DescribeClusterRequest, c in) { q.EndpointType = 1 }),
		ask("DescribeCluster of controllers", 60, func(q *kmsg.DescribeClusterRequest, c in) { q.EndpointType = 2 }).from(1),
		ask("DescribeQuorum", 55, func(q *kmsg.DescribeQuorumRequest, c in) {
			q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
		}, "CLUSTER-DESCRIBE"),
		ask("DescribeClientQuotas", 48, func(q *kmsg.DescribeClientQuotasRequest, c in) {
			q.Components = []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: kmsg.QuotasMatchTypeAny}}
		}, "CLUSTER-DESCRIBE_CONFIGS"),
		ask("AlterClientQuotas", 49, func(q *kmsg.AlterClientQuotasRequest, c in) {
			q.ValidateOnly = true
			q.Entries = each([]string{"a", "b"}, func(n string) kmsg.AlterClientQuotasRequestEntry {
				return kmsg.AlterClientQuotasRequestEntry{
					Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: &n}},
					Ops:    []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1e6}},
				}
			})
		}, "CLUSTER-ALTER_CONFIGS"),
		ask("DescribeUserScramCredentials", 50, func(q *kmsg.DescribeUserSCRAMCredentialsRequest, c in) {
			q.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "nobody"}}
		}, "CLUSTER-DESCRIBE"),
		ask("DescribeUserScramCredentials of all", 50, func(q *kmsg.DescribeUserSCRAMCredentialsRequest, c in) {}, "CLUSTER-DESCRIBE").slow(),
		ask("AlterUserScramCredentials", 51, func(q *kmsg.AlterUserSCRAMCredentialsRequest, c in) {
			q.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "nobody", Mechanism: 1}}
		}, "CLUSTER-ALTER"),
	}
}

func aclEntries() []entry {
	sample := "acl.sample"
	return []entry{
		ask("DescribeAcls", 29, func(q *kmsg.DescribeACLsRequest, c in) {
			q.ResourceType, q.ResourceName, q.ResourcePatternType = kmsg.ACLResourceTypeTopic, &sample, kmsg.ACLResourcePatternTypeLiteral
			q.Operation, q.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		}, "CLUSTER-DESCRIBE").from(1),
		ask("CreateAcls", 30, func(q *kmsg.CreateACLsRequest, c in) {
			q.Creations = each([]string{"a", "b"}, func(n string) kmsg.CreateACLsRequestCreation {
				return kmsg.CreateACLsRequestCreation{
					ResourceType: kmsg.ACLResourceTypeTopic, ResourceName: "acl." + n, ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral,
					Principal: "User:nobody", Host: "*", Operation: kmsg.ACLOperationRead, PermissionType: kmsg.ACLPermissionTypeAllow,
				}
			})
		}, "CLUSTER-ALTER").from(1).change(nil),
		ask("DeleteAcls", 31, func(q *kmsg.DeleteACLsRequest, c in) {
			q.Filters = each([]string{"acl.none", "acl.nothing"}, func(n string) kmsg.DeleteACLsRequestFilter {
				return kmsg.DeleteACLsRequestFilter{
					ResourceType: kmsg.ACLResourceTypeTopic, ResourceName: &n, ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral,
					Operation: kmsg.ACLOperationAny, PermissionType: kmsg.ACLPermissionTypeAny,
				}
			})
		}, "CLUSTER-ALTER").from(1),
	}
}
