package kafka

import (
	"slices"
	"time"
)

// Bucket is the width of the buckets in which client programs report bytes.
// They lie on the grid of the wall clock, so those of several programs coincide.
const Bucket = 100 * time.Millisecond

// Sample is so many bytes, acknowledged or received, in the bucket that starts
// at that time.
type Sample struct {
	At    time.Time
	Bytes int64
}

// Window is the mean rate over one stretch of time.
type Window struct {
	Start time.Time
	Rate  float64 // bytes per second
}

// MB is the rate in decimal megabytes per second.
func (w Window) MB() float64 { return w.Rate / 1e6 }

// Windows cuts samples, in any order, into windows that follow each other and
// gives the mean rate of each. The first starts with the first sample; what is
// left at the end and does not fill a window is dropped. A time without bytes
// counts in full, as programs report empty buckets too. width must be a multiple
// of [Bucket], else Windows panics.
func Windows(samples []Sample, width time.Duration) []Window {
	return Sliding(samples, width, width)
}

// Sliding is [Windows] with windows that start a step apart, and so overlap when
// the step is smaller than the width. Both must be multiples of [Bucket].
func Sliding(samples []Sample, width, step time.Duration) []Window {
	if width <= 0 || step <= 0 || width%Bucket != 0 || step%Bucket != 0 {
		panic("kafka: a window that is not a multiple of the bucket")
	}
	if len(samples) == 0 {
		return nil
	}
	first, last := samples[0].At, samples[0].At
	for _, s := range samples {
		if s.At.Before(first) {
			first = s.At
		}
		if s.At.After(last) {
			last = s.At
		}
	}
	buckets := make([]int64, last.Sub(first)/Bucket+1)
	for _, s := range samples {
		buckets[s.At.Sub(first)/Bucket] += s.Bytes
	}
	var windows []Window
	n := int(width / Bucket)
	for i := 0; i+n <= len(buckets); i += int(step / Bucket) {
		var sum int64
		for _, b := range buckets[i : i+n] {
			sum += b
		}
		windows = append(windows, Window{Start: first.Add(time.Duration(i) * Bucket), Rate: float64(sum) / width.Seconds()})
	}
	return windows
}

// After drops the samples before that time: the burst, the start of a program.
func After(samples []Sample, from time.Time) []Sample {
	return between(samples, func(at time.Time) bool { return !at.Before(from) })
}

// Before drops the samples from that time on: the end of a program, when it has
// no more to send.
func Before(samples []Sample, to time.Time) []Sample {
	return between(samples, func(at time.Time) bool { return at.Before(to) })
}

func between(samples []Sample, keep func(time.Time) bool) []Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool { return !keep(s.At) })
}

// FirstBytes is when the first sample with any bytes lies; zero if none does.
func FirstBytes(samples []Sample) time.Time {
	var first time.Time
	for _, s := range samples {
		if s.Bytes > 0 && (first.IsZero() || s.At.Before(first)) {
			first = s.At
		}
	}
	return first
}

// LastBytes is when the last sample with any bytes lies; zero if none does.
func LastBytes(samples []Sample) time.Time {
	var last time.Time
	for _, s := range samples {
		if s.Bytes > 0 && s.At.After(last) {
			last = s.At
		}
	}
	return last
}

func samples(events []Event) []Sample {
	all := make([]Sample, 0, len(events))
	for _, e := range events {
		all = append(all, Sample{At: e.Time(), Bytes: e.Bytes})
	}
	return all
}
