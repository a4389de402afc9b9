package protocol

// Operation is what is done to a resource, with the codes of Kafka's AclOperation.
type Operation int8

// Kafka's operations (org.apache.kafka.common.acl.AclOperation).
const (
	OpAll             Operation = 2
	OpRead            Operation = 3
	OpWrite           Operation = 4
	OpCreate          Operation = 5
	OpDelete          Operation = 6
	OpAlter           Operation = 7
	OpDescribe        Operation = 8
	OpClusterAction   Operation = 9
	OpDescribeConfigs Operation = 10
	OpAlterConfigs    Operation = 11
	OpIdempotentWrite Operation = 12
	OpCreateTokens    Operation = 13
	OpDescribeTokens  Operation = 14
	OpTwoPhaseCommit  Operation = 15
)

var operationNames = [...]string{
	OpAll: "ALL", OpRead: "READ", OpWrite: "WRITE", OpCreate: "CREATE", OpDelete: "DELETE", OpAlter: "ALTER",
	OpDescribe: "DESCRIBE", OpClusterAction: "CLUSTER_ACTION", OpDescribeConfigs: "DESCRIBE_CONFIGS",
	OpAlterConfigs: "ALTER_CONFIGS", OpIdempotentWrite: "IDEMPOTENT_WRITE", OpCreateTokens: "CREATE_TOKENS",
	OpDescribeTokens: "DESCRIBE_TOKENS", OpTwoPhaseCommit: "TWO_PHASE_COMMIT",
}

// String is Kafka's name of the operation, as in an ACL.
func (o Operation) String() string {
	if o < OpAll || int(o) >= len(operationNames) {
		return "UNKNOWN"
	}
	return operationNames[o]
}

// ParseOperation is the inverse of [Operation.String]; false for any other word.
func ParseOperation(s string) (Operation, bool) {
	for o := OpAll; int(o) < len(operationNames); o++ {
		if operationNames[o] == s {
			return o, true
		}
	}
	return 0, false
}

// Resource is the type of what an operation is done to, with the codes of
// Kafka's ResourceType.
type Resource int8

// Kafka's resource types (org.apache.kafka.common.resource.ResourceType).
const (
	Topic           Resource = 2
	Group           Resource = 3
	Cluster         Resource = 4
	TransactionalID Resource = 5
)

// ClusterName is the name of the one cluster resource.
const ClusterName = "kafka-cluster"

// String is the resource's name as in Sluice's metrics: topic, group, cluster,
// transactional_id.
func (r Resource) String() string {
	switch r {
	case Topic:
		return "topic"
	case Group:
		return "group"
	case Cluster:
		return "cluster"
	case TransactionalID:
		return "transactional_id"
	}
	return "unknown"
}

// operationsOf are the operations that a resource type knows, as in
// AclEntry.supportedOperations of Kafka.
var operationsOf = map[Resource][]Operation{
	Topic:           {OpRead, OpWrite, OpCreate, OpDelete, OpAlter, OpDescribe, OpDescribeConfigs, OpAlterConfigs},
	Group:           {OpRead, OpDescribe, OpDelete, OpDescribeConfigs, OpAlterConfigs},
	Cluster:         {OpCreate, OpClusterAction, OpDescribeConfigs, OpAlterConfigs, OpIdempotentWrite, OpAlter, OpDescribe},
	TransactionalID: {OpDescribe, OpWrite, OpTwoPhaseCommit},
}

// authorizedOperations is the bit field of a response's *_authorized_operations
// (KIP-430): what the tenant may do, never more than what the broker let the
// gateway do. A field that was not asked for (the minimum) stays so.
func authorizedOperations(broker int32, j Judge, r Resource, name string) int32 {
	const notAsked = -1 << 31
	if broker == notAsked {
		return broker
	}
	var mine int32
	for _, op := range operationsOf[r] {
		if j.Allowed(op, r, name) {
			mine |= 1 << op
		}
	}
	return broker & mine
}
