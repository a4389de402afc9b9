package protocol

// Keys of the APIs that the life of a request treats in a way of their own.
const (
	KeyProduce          int16 = 0
	KeyFetch            int16 = 1
	KeyMetadata         int16 = 3
	KeySaslHandshake    int16 = 17
	KeyApiVersions      int16 = 18
	KeyCreateTopics     int16 = 19
	KeyDeleteTopics     int16 = 20
	KeyWriteTxnMarkers  int16 = 27
	KeySaslAuthenticate int16 = 36
	KeyCreatePartitions int16 = 37
	KeyShareFetch       int16 = 78
)
