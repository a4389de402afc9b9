package protocol

// SlotBits is where a slice's slot begins in a virtual node id: virtual = node +
// slot << 20. Slot 0 changes nothing; ids survive a new slice.
const SlotBits = 20

// RefusalNode is the node id of the refusal broker, one past the last slot.
const RefusalNode int32 = 512 << SlotBits

// pidTagShift is where slot+1 begins in a producer id that was not allocated for
// a transactional id. Brokers hand out ids from near 0 in every cluster, so ids
// of two slices would collide without it.
const pidTagShift = 48

// Nodes maps between the broker ids of one slice and what clients see.
type Nodes struct {
	Slot int // 0 to 511
	// Address is where clients reach the broker with that real id; false when no
	// port or host of the listener is meant for it.
	Address func(node int32) (host string, port int32, ok bool)
}

// Virtual is the node id that clients see for a broker. Negative ids (none,
// unknown) stay as they are.
func (n Nodes) Virtual(node int32) int32 {
	if node < 0 {
		return node
	}
	return node + int32(n.Slot)<<SlotBits
}

// Real is the broker id behind a virtual one; false if it belongs to another slice.
func (n Nodes) Real(virtual int32) (int32, bool) {
	if virtual < 0 {
		return virtual, true
	}
	if int(virtual>>SlotBits) != n.Slot {
		return virtual, false
	}
	return virtual & (1<<SlotBits - 1), true
}

// TagProducerID marks a non-transactional producer id as handed out by this slice.
func (n Nodes) TagProducerID(pid int64) int64 {
	if pid < 0 {
		return pid
	}
	return pid | int64(n.Slot+1)<<pidTagShift
}

// ProducerIDSlot is the slot of the slice that handed a producer id out; false if it has
// no slice's mark: then it is a transactional id's, or no id at all. Brokers take ids
// that they never handed out, so a producer writes with one to all slices; who asks
// anew gets a fresh one of the slice that it asks.
func ProducerIDSlot(pid int64) (slot int, ok bool) {
	slot = int(pid>>pidTagShift) - 1
	return slot, pid >= 0 && slot >= 0 && slot < int(RefusalNode>>SlotBits)
}

// UntagProducerID takes the mark away.
func (n Nodes) UntagProducerID(pid int64) int64 {
	if pid < 0 {
		return pid
	}
	return pid & (1<<pidTagShift - 1)
}
