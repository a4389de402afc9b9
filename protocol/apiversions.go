package protocol

import (
	"maps"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Range is a range of versions or feature levels, both ends included.
type Range struct{ Min, Max int16 }

// Versions are the API versions and features that a broker, or all brokers of a
// slice together ([Versions.Intersect]), can do.
type Versions struct {
	Keys      map[int16]Range
	Supported map[string]Range // features, by name
	Finalized map[string]Range // levels of the finalized features, by name
	// Epoch is that of the finalized features; -1 when the broker told none.
	Epoch int64
}

// VersionsOf reads a broker's answer to ApiVersions. An answer with an error
// gives what it lists, which is nothing but ApiVersions itself.
func VersionsOf(resp *kmsg.ApiVersionsResponse) Versions {
	v := Versions{
		Keys:      make(map[int16]Range, len(resp.ApiKeys)),
		Supported: make(map[string]Range, len(resp.SupportedFeatures)),
		Finalized: make(map[string]Range, len(resp.FinalizedFeatures)),
		Epoch:     resp.FinalizedFeaturesEpoch,
	}
	for _, k := range resp.ApiKeys {
		v.Keys[k.ApiKey] = Range{k.MinVersion, k.MaxVersion}
	}
	for _, f := range resp.SupportedFeatures {
		v.Supported[f.Name] = Range{f.MinVersion, f.MaxVersion}
	}
	for _, f := range resp.FinalizedFeatures {
		v.Finalized[f.Name] = Range{f.MinVersionLevel, f.MaxVersionLevel}
	}
	return v
}

// Intersect is what both can do: a client meets any broker of a slice, so it may
// only be offered what all of them know. A finalized feature has the lower of
// the two levels, and the epoch is the lower one with it: clients keep what they
// saw under the highest epoch, so a level that lags must not claim a later one.
func (v Versions) Intersect(o Versions) Versions {
	r := Versions{
		Keys:      intersect(v.Keys, o.Keys),
		Supported: intersect(v.Supported, o.Supported),
		Finalized: make(map[string]Range),
		Epoch:     min(v.Epoch, o.Epoch),
	}
	for name, a := range v.Finalized {
		if b, ok := o.Finalized[name]; ok {
			r.Finalized[name] = Range{min(a.Min, b.Min), min(a.Max, b.Max)}
		}
	}
	return r
}

// Span is what several slices can do as one virtual cluster: what all of them can, and
// of each feature the lowest level. Its epoch is the sum of theirs, so that it rises
// whenever one of them does, and is the same whoever adds it up; a slice that told none
// counts nothing. of has one at least, and none of its elements changes.
func Span(of []*Versions) *Versions {
	all := *of[0]
	sum := int64(0)
	for i, v := range of {
		if i > 0 {
			all = all.Intersect(*v)
		}
		sum += max(v.Epoch, 0)
	}
	all.Epoch = sum
	return &all
}

// intersect keeps the keys that both have with a range in common.
func intersect[K comparable](a, b map[K]Range) map[K]Range {
	r := make(map[K]Range)
	for key, x := range a {
		y, ok := b[key]
		if !ok {
			continue
		}
		if c := (Range{max(x.Min, y.Min), min(x.Max, y.Max)}); c.Min <= c.Max {
			r[key] = c
		}
	}
	return r
}

// softwareName is what Kafka demands of a client's software name and version
// (ApiVersionsRequest.isValid, KIP-511).
var softwareName = regexp.MustCompile(`\A[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?\z`)

// AnswerApiVersions answers ApiVersions, which never goes to a broker: it offers
// what the table and v both know. With a nil v it offers the table's own versions,
// as the refusal broker does. What a tenant may do does not change what it is
// offered: each request is judged, and denied with the error that Kafka gives.
//
// version is the one of the request's header and may be any number. A version
// that the table does not know is answered as Kafka does (KIP-511): body of
// version 0, error 35, and only the versions of ApiVersions itself, so that the
// client asks again with one of those; req is not looked at and may be nil. A
// bad software name or version is error 42. With login, SASL is offered too.
//
// The answer's Version says how to encode it. Its response header has no tagged
// fields in any version, flexible or not.
func AnswerApiVersions(version int16, req *kmsg.ApiVersionsRequest, v *Versions, login bool) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	self := Lookup(int16(kmsg.ApiVersions))
	if !self.Knows(version) {
		resp.ErrorCode = codeUnsupportedVersion
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{offer(self, Range{self.Min, self.Max})}
		return resp
	}
	resp.Version = version
	if version >= 3 && (req == nil || !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = codeInvalidRequest
		return resp
	}
	for _, a := range apis {
		if r, ok := offered(a, v); ok && (login || a.Access != Login) {
			resp.ApiKeys = append(resp.ApiKeys, offer(a, r))
		}
	}
	if v != nil && version >= 3 {
		offerFeatures(resp, v)
	}
	return resp
}

// offered is the range in which an API is offered; false if it is not.
func offered(a *API, v *Versions) (Range, bool) {
	r := Range{a.Min, a.Max}
	switch {
	case a.Access == Refuse:
		return r, false
	case v == nil, a.Access == Local, a.Access == Login:
		return r, true
	}
	broker, ok := v.Keys[a.Key]
	if !ok {
		return r, false
	}
	r.Min, r.Max = max(r.Min, broker.Min), min(r.Max, broker.Max)
	if r.Min > r.Max {
		return r, false
	}
	if a.Key == int16(kmsg.Produce) {
		// librdkafka enables features by the presence of old Produce versions, so
		// brokers list them although they refuse them (KAFKA-18659).
		r.Min = 0
	}
	return r, true
}

func offer(a *API, r Range) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = a.Key, r.Min, r.Max
	return k
}

// offerFeatures writes the slice's features, sorted by name.
func offerFeatures(resp *kmsg.ApiVersionsResponse, v *Versions) {
	resp.FinalizedFeaturesEpoch = v.Epoch
	for _, name := range slices.Sorted(maps.Keys(v.Supported)) {
		r := v.Supported[name]
		if r.Min == 0 && resp.Version < 4 {
			continue // clients before version 4 reject a minimum of 0 (KAFKA-17011)
		}
		f := kmsg.NewApiVersionsResponseSupportedFeature()
		f.Name, f.MinVersion, f.MaxVersion = name, r.Min, r.Max
		resp.SupportedFeatures = append(resp.SupportedFeatures, f)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Finalized)) {
		r := v.Finalized[name]
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = name, r.Min, r.Max
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
	}
}
