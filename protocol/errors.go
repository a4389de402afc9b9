package protocol

// Kafka's error codes that Sluice writes or reads (org.apache.kafka.common.protocol.Errors).
const (
	codeNone                         int16 = 0
	codeUnknownTopicOrPartition      int16 = 3
	codeLeaderNotAvailable           int16 = 5
	codeNotLeaderOrFollower          int16 = 6
	codeNotCoordinator               int16 = 16
	codeInvalidTopic                 int16 = 17
	codeTopicAuthorizationFailed     int16 = 29
	codeGroupAuthorizationFailed     int16 = 30
	codeClusterAuthorizationFailed   int16 = 31
	codeUnsupportedVersion           int16 = 35
	codeInvalidRequest               int16 = 42
	codePolicyViolation              int16 = 44
	codeTransactionalIDAuthorization int16 = 53
	codeOperationNotAttempted        int16 = 55
	codeFetchSessionIDNotFound       int16 = 70
	codeFencedLeaderEpoch            int16 = 74
	codeThrottlingQuotaExceeded      int16 = 89
	codeUnknownTopicID               int16 = 100
	codeTransactionAbortable         int16 = 120
	codeShareSessionNotFound         int16 = 122
)
