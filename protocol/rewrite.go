package protocol

// showBrokers puts the virtual id and address in the place of each broker's own,
// and leaves out the brokers that have no virtual address. at points at the three
// fields of one element.
func showBrokers[B any](brokers []B, n Nodes, at func(*B) (id *int32, host *string, port *int32)) []B {
	if brokers == nil {
		return nil
	}
	return keep(brokers, func(b *B) bool {
		id, host, port := at(b)
		h, p, ok := n.Address(*id)
		if !ok {
			return false
		}
		*id, *host, *port = n.Virtual(*id), h, p
		return true
	})
}

// showLeader maps a leader hint of KIP-951. One that no client can reach becomes
// no hint at all (-1, -1), for a client that trusts it would look up a node that
// it is never shown.
func showLeader(id, epoch *int32, n Nodes) {
	if *id < 0 {
		return
	}
	if _, _, ok := n.Address(*id); !ok {
		*id, *epoch = -1, -1
		return
	}
	*id = n.Virtual(*id)
}

// showIDs maps a list of node ids in place: replicas, in-sync replicas and the
// like, which need no address.
func showIDs(ids []int32, n Nodes) {
	for i := range ids {
		ids[i] = n.Virtual(ids[i])
	}
}

// realIDs maps virtual node ids back in place; false if one of them belongs to
// another slice. Such an id stays as it is, so that the broker refuses it: no
// broker has an id of 1<<SlotBits or above. One below (slot 0's, seen from
// another slot) would be taken for a broker's own, and becomes [RefusalNode].
func realIDs(ids []int32, n Nodes) bool {
	all := true
	for i, id := range ids {
		real, ok := n.Real(id)
		switch {
		case ok:
			ids[i] = real
		case id < 1<<SlotBits:
			ids[i] = RefusalNode
		}
		all = all && ok
	}
	return all
}

// realID is [realIDs] for one id.
func realID(id *int32, n Nodes) bool {
	ids := []int32{*id}
	ok := realIDs(ids, n)
	*id = ids[0]
	return ok
}
