package protocol

// refuse takes out of s every element to which code gives an error (other than
// codeNone), and makes of each, with answer, its element in the refused answer.
// What is left keeps its order and its array; nothing is allocated when nothing
// is taken, and taking all leaves an empty list, never a null one.
func refuse[Q, A any](s []Q, code func(*Q) int16, answer func(*Q, int16) A) (rest []Q, refused []A) {
	rest = s
	kept := 0
	for i := range s {
		c := code(&s[i])
		if c != codeNone {
			refused = append(refused, answer(&s[i], c))
			continue
		}
		if kept != i {
			s[kept] = s[i]
		}
		kept++
	}
	if refused != nil {
		clear(s[kept:])
		rest = s[:kept]
	}
	return rest, refused
}

// always is the code for [refuse] that takes out everything with one error.
func always[Q any](code int16) func(*Q) int16 {
	return func(*Q) int16 { return code }
}

// each makes one element of an answer for each element of a request, such as the
// partitions of a refused topic.
func each[Q, A any](s []Q, answer func(*Q) A) []A {
	as := make([]A, len(s))
	for i := range s {
		as[i] = answer(&s[i])
	}
	return as
}

// keep leaves in s what ok says yes to, in order and in place.
func keep[E any](s []E, ok func(*E) bool) []E {
	kept := 0
	for i := range s {
		if !ok(&s[i]) {
			continue
		}
		if kept != i {
			s[kept] = s[i]
		}
		kept++
	}
	clear(s[kept:])
	return s[:kept]
}

// refuser is a Judge whose no may be another than a denial.
type refuser interface {
	Judge
	// because is the code of a no about the resource; codeNone if it is a denial.
	because(r Resource, name string) int16
}

// codeOf is codeNone if j lets the tenant do op on the resource of that name, and
// Kafka's code of the resource type else, or that of a [refuser]. A null or empty name
// is a name that is judged like any other.
func codeOf(j Judge, op Operation, r Resource, name string) int16 {
	if j.Allowed(op, r, name) {
		return codeNone
	}
	if j, ok := j.(refuser); ok {
		if code := j.because(r, name); code != codeNone {
			return code
		}
	}
	switch r {
	case Group:
		return codeGroupAuthorizationFailed
	case TransactionalID:
		return codeTransactionalIDAuthorization
	case Cluster:
		return codeClusterAuthorizationFailed
	default:
		return codeTopicAuthorizationFailed
	}
}

// topicCode is [codeOf] for a topic that a request names by its name or, where
// byID is set, by its id alone. An id that the slice does not have is
// UNKNOWN_TOPIC_ID, as from a broker.
func topicCode(j Judge, op Operation, byID bool, name string, id [16]byte) int16 {
	if byID {
		var ok bool
		if name, ok = j.TopicName(id); !ok {
			return codeUnknownTopicID
		}
	}
	return codeOf(j, op, Topic, name)
}
