package stats

import (
	"math"
	"slices"
)

// Confidence is what an [Interval] aims at.
const Confidence = 0.95

// Median is the middle value, or the mean of the two in the middle; NaN of none.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Interval is where the median of what was sampled lies.
type Interval struct {
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Coverage float64 `json:"coverage"` // the probability that it does, at least [Confidence] from six values on
}

// MedianInterval is the sign interval: between the k-th smallest and the k-th largest
// value, with the largest k that keeps the confidence. Each value is as likely above
// the median as below it, so how many lie below is binomial, whatever the
// distribution. With fewer than six values even the smallest and the largest do not
// reach 95 %: five give 93.75 %, three 75 %.
func MedianInterval(values []float64) Interval {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return Interval{Low: math.NaN(), High: math.NaN()}
	}
	k, coverage := 1, 1-2*below(n, 1)
	for k < (n+1)/2 {
		next := 1 - 2*below(n, k+1)
		if next < Confidence {
			break
		}
		k, coverage = k+1, next
	}
	return Interval{Low: s[k-1], High: s[n-k], Coverage: max(0, coverage)}
}

// below is the probability that fewer than k of n values lie below the median.
func below(n, k int) float64 {
	sum, choose := 0.0, 1.0
	for i := range k {
		sum += choose
		choose = choose * float64(n-i) / float64(i+1)
	}
	return sum / math.Pow(2, float64(n))
}

// Ratios divides two series pairwise; pairs that lack either are left out.
func Ratios(values, base []float64) []float64 {
	var ratios []float64
	for i := range min(len(values), len(base)) {
		if !math.IsNaN(values[i]) && base[i] > 0 {
			ratios = append(ratios, values[i]/base[i])
		}
	}
	return ratios
}
