package protocol

// Placement is which slices of a virtual cluster answer a request, and what of it none
// of them can do.
type Placement struct {
	// Slots of the slices that are asked, the first for what the request is mostly about.
	// Where a client may choose the node, as for a listing, it is the home's.
	Slots []int
	// Errors are the codes for what lives in another slice than the request goes to.
	Errors []ErrorPlace
}

// Placement places a request of the API that names the given resources, with the
// functions of the API's row, for a tenant that may do everything. v may know no topic
// ids.
func (a *API) Placement(names Names, v VirtualCluster) Placement {
	v = sampleCluster{v, names}
	req := a.Sample(names)
	slot := a.slotOf(names, v)
	if a.Split != nil {
		g := &Guard{Judge: &recorder{Decider: allowing{cluster: true}, names: names}, Cluster: v, Slot: slot}
		g.Begin(a, a.Max)
		if refused, _ := a.Split(req, g); refused != nil {
			return Placement{Slots: []int{slot}, Errors: ErrorsIn(refused)}
		}
	}
	if a.Divide == nil {
		return Placement{Slots: []int{slot}}
	}
	var p Placement
	seen := map[int]struct{}{}
	for _, part := range a.Divide(req, v) {
		if _, ok := seen[part.Slot]; !ok {
			seen[part.Slot] = struct{}{}
			p.Slots = append(p.Slots, part.Slot)
		}
	}
	return p
}

// slotOf is the slot of the slice to whose node a client sends a request: it looked for
// the leader or the coordinator of what it names.
func (a *API) slotOf(names Names, v VirtualCluster) int {
	by := Resource(0)
	switch a.Route {
	case ByNode, ByTopic:
		by = Topic
	case ByGroup:
		by = Group
	case ByTransactionalID:
		by = TransactionalID
	default: // any node
	}
	if name, given := names[by]; given {
		return ownerOf(v, by, name)
	}
	return homeOf(v)
}

// sampleCluster knows the topic that a sample names by its id.
type sampleCluster struct {
	VirtualCluster
	names Names
}

func (c sampleCluster) TopicName(id [16]byte) (string, bool) {
	name, ok := c.names[Topic]
	return name, ok && id == sampleTopicID
}
