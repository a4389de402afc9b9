package protocol

// Away are the codes for what an API's request names and what lives in another slice
// than the one that is asked. 0: the request is divided, or the broker's own answer is
// the right one.
type Away struct {
	Topic, Group, TransactionalID int16
	// Cluster: the API is refused as a whole.
	Cluster int16
	// Text is the message beside the code, where the answer has a place for one.
	Text string
}

// What APIs have in common.
var (
	// As when a partition has got another leader: the client asks for metadata.
	awayLeader = Away{Topic: codeNotLeaderOrFollower}
	// As when a coordinator has moved: the client looks for it again.
	awayGroup       = Away{Group: codeNotCoordinator}
	awayTransaction = Away{TransactionalID: codeNotCoordinator}
	awayAny         = Away{Topic: codeNotLeaderOrFollower, Group: codeNotCoordinator, TransactionalID: codeNotCoordinator}
)

const (
	awayText     = "The brokers assign the partitions of this group, and cannot read topics of several clusters: the group lives in one, and what it subscribes to in another. "
	classicText  = awayText + "Consumers with group.protocol=classic can read both, and a route can send the group to the cluster of its topics."
	routedText   = awayText + "A route can send the group to the cluster of its topics."
	txnText      = "The topic lives in another cluster than the transaction: a transaction cannot span clusters. A route can send the transactional id to the cluster of its topics."
	featuresText = "The features of several clusters cannot be changed as one."
)

// What is special to one API. The codes of transactions are those after which a client
// can abort and go on; all others are fatal to it, or tried again for ever. The codes of
// groups are fatal: of the two that are, UNSUPPORTED_VERSION makes a Java consumer say
// that it needs group.protocol=classic, but a share consumer, and Streams, that the
// cluster does not know their protocol; after INVALID_REQUEST these say what our text says.
var (
	awayProduce       = Away{Topic: codeNotLeaderOrFollower, TransactionalID: codePolicyViolation, Text: txnText}
	awayShare         = Away{Topic: codeNotLeaderOrFollower, Group: codeNotCoordinator}
	awayAddPartitions = Away{Topic: codePolicyViolation, TransactionalID: codeNotCoordinator}
	awayAddOffsets    = Away{Group: codeGroupAuthorizationFailed, TransactionalID: codeNotCoordinator}
	awayTxnOffsets    = Away{Topic: codeTransactionAbortable, Group: codeNotCoordinator, TransactionalID: codeTransactionAbortable}
	awayAssigned      = Away{Topic: codeUnsupportedVersion, Group: codeNotCoordinator, Text: classicText}
	awayShareAssigned = Away{Topic: codeInvalidRequest, Group: codeNotCoordinator, Text: routedText}
	awayStreams       = Away{Topic: codeInvalidRequest, Group: codeNotCoordinator, Text: classicText}
	awayFeatures      = Away{Cluster: codePolicyViolation, Text: featuresText}
)

func (a *Away) of(r Resource) int16 {
	switch r {
	case Topic:
		return a.Topic
	case Group:
		return a.Group
	case TransactionalID:
		return a.TransactionalID
	case Cluster:
		return a.Cluster
	}
	return codeNone
}

// Guard is the Judge of one slice of a virtual cluster. What lives in another slice is
// refused with the code of [API.Away] that sends the client there, where its rules are
// asked; what the tenant may not do is denied as it is everywhere.
//
// A Guard for requests is told which before each. One that was told nothing is for
// answers: everything that does not live in the slice is left out of them.
type Guard struct {
	Judge   // the tenant's, which knows the topics of all slices
	Cluster VirtualCluster
	Slot    int // of the slice

	away *Away
	old  bool // the client does not know TRANSACTION_ABORTABLE
}

// Begin says which API's request is to be judged next.
func (g *Guard) Begin(a *API, version int16) {
	const knowsAbortable = 4 // TxnOffsetCommit, the only one with that code (KIP-890)
	g.away, g.old = &a.Away, version < knowsAbortable
}

// Allowed says no to what lives elsewhere, and to what the tenant may not do.
func (g *Guard) Allowed(op Operation, r Resource, name string) bool {
	return g.here(r, name) && g.Judge.Allowed(op, r, name)
}

func (g *Guard) here(r Resource, name string) bool {
	switch {
	case r == Cluster:
		return g.away == nil || g.away.Cluster == codeNone
	case g.away != nil && g.away.of(r) == codeNone:
		return true
	}
	return ownerOf(g.Cluster, r, name) == g.Slot
}

// because is the code for what lives elsewhere.
func (g *Guard) because(r Resource, name string) int16 {
	if g.here(r, name) {
		return codeNone
	}
	away := g.away
	if away == nil {
		away = &awayAny
	}
	code := away.of(r)
	if code == codeTransactionAbortable && g.old {
		code = codeGroupAuthorizationFailed
	}
	return code
}

// isHere reports whether something lives in the slice that j judges for.
func isHere(j Judge, r Resource, name string) bool {
	g, guards := j.(*Guard)
	return !guards || g.here(r, name)
}

// permits is the tenant's own judge within j, for which it does not matter where
// something lives.
func permits(j Judge) Judge {
	if g, guards := j.(*Guard); guards {
		return g.Judge
	}
	return j
}

// messageOf is [errorText], or the text for what lives elsewhere.
func messageOf(j Judge, code int16) *string {
	text := errorText(code)
	g, guards := j.(*Guard)
	if guards && text == nil && code != codeNone && code != codeNotCoordinator && g.away != nil && g.away.Text != "" {
		text = &g.away.Text
	}
	return text
}
