package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{7}, 7}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestMedianIntervalIsThatOfTheTables(t *testing.T) {
	for _, c := range []struct{ n, k int }{{3, 1}, {5, 1}, {6, 1}, {8, 1}, {9, 2}, {12, 3}, {17, 5}, {25, 8}} {
		values := make([]float64, c.n)
		for i := range values {
			values[i] = float64(c.n - i)
		}
		got := MedianInterval(values)
		if got.Low != float64(c.k) || got.High != float64(c.n-c.k+1) {
			t.Errorf("%d values: %+v, want the %d-th on both sides", c.n, got, c.k)
		}
		if c.n >= 6 && got.Coverage < Confidence {
			t.Errorf("%d values: only %v", c.n, got.Coverage)
		}
	}
	if got := MedianInterval([]float64{1, 2, 3, 4, 5}).Coverage; got != 0.9375 {
		t.Errorf("five values: %v", got)
	}
	if got := MedianInterval([]float64{1}); got.Coverage != 0 || got.Low != 1 || got.High != 1 {
		t.Errorf("one value: %+v", got)
	}
}

// The interval holds the true median as often as it says, of a skew distribution too.
func TestMedianIntervalCovers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	const runs = 20_000
	held := 0
	for range runs {
		values := make([]float64, 7)
		for i := range values {
			values[i] = math.Exp(random.NormFloat64()) // its median is 1
		}
		if iv := MedianInterval(values); iv.Low <= 1 && iv.High >= 1 {
			held++
		}
	}
	want := MedianInterval(make([]float64, 7)).Coverage
	if got := float64(held) / runs; math.Abs(got-want) > 0.01 {
		t.Errorf("%.3f, not %.3f", got, want)
	}
}

func TestRatiosLeaveOutWhatIsMissing(t *testing.T) {
	got := Ratios([]float64{2, math.NaN(), 3, 4, 5}, []float64{1, 1, 2, 0})
	if len(got) != 2 || got[0] != 2 || got[1] != 1.5 {
		t.Errorf("%v", got)
	}
}
