package report

import (
	"io"
	"math"
)

// Bar is a value and where it may really lie.
type Bar struct{ Value, Low, High float64 }

// Bars is a plot of horizontal bars: a group for each name, a bar of the group for
// each of the series, NaN for none. The line at 1 is what they are compared with.
type Bars struct {
	Title  string
	Series []string
	Names  []string
	Groups [][]Bar // by name, then by series
}

// SVG writes the plot.
func (b Bars) SVG(w io.Writer) error {
	s := &svg{}
	high := 1.2
	for _, group := range b.Groups {
		for _, bar := range group {
			if !math.IsNaN(bar.High) {
				high = max(high, bar.High)
			}
		}
	}
	ticks := linear(0, high)
	scale := axis{high: ticks[len(ticks)-1].At}
	left, right := float64(nameRoom), float64(plotWidth-30)
	px := func(v float64) float64 { return left + scale.place(v)*(right-left) }
	groupHeight := float64(len(b.Series)*barThick + barApart)
	bottom := topRoom + groupHeight*float64(len(b.Names))
	s.text(20, 20, "start", titleStyle, b.Title)
	for _, t := range ticks {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%.1f" stroke="#ddd"/>`, px(t.At), px(t.At), topRoom, bottom)
		s.text(px(t.At), bottom+16, "middle", "", t.Text)
	}
	for i, name := range b.Names {
		top := topRoom + groupHeight*float64(i) + barApart/2
		s.text(left-8, top+groupHeight/2-2, "end", "", name)
		for k, bar := range b.Groups[i] {
			if math.IsNaN(bar.Value) {
				continue
			}
			y := top + float64(k*barThick)
			s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>`, left, y, px(bar.Value)-left, barThick-1, colour(k))
			middle := y + (barThick-1)/2.
			s.add(`<path d="M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6" stroke="#222"/>`, px(bar.Low), middle, px(bar.High), px(bar.Low), middle-3, px(bar.High), middle-3)
		}
	}
	s.add(`<line x1="%.1f" x2="%.1f" y1="%d" y2="%.1f" stroke="#222" stroke-dasharray="5 4"/>`, px(1), px(1), topRoom, bottom)
	s.legend(20, b.Series)
	return s.end(w, plotWidth, bottom+28)
}
