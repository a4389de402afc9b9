package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Colours that people with other eyes tell apart too (Paul Tol's bright scheme).
var colours = []string{"#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#777777"}

const (
	plotWidth          = 840
	leftRoom, topRoom  = 70, 66
	lineHeight         = 320
	bottomRoom         = 52
	barThick, barApart = 11, 12
	nameRoom           = 210
)

// Tick is a place on an axis and what stands there.
type Tick struct {
	At   float64
	Text string
}

// Series is a line of a plot; points that are NaN are left out.
type Series struct {
	Name string
	X, Y []float64
}

// Lines is a plot of lines. With LogY the vertical axis is logarithmic; Reference
// is a dashed line across at that height, if it is above 0.
type Lines struct {
	Title, X, Y string
	XTicks      []Tick // nil: five, evenly
	LogY        bool
	Reference   float64
	Series      []Series
}

// svg collects elements; what is written never fails before the end.
type svg struct{ strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(&s.Builder, format+"\n", args...) }

func (s *svg) text(x, y float64, anchor, style, text string) {
	s.add(`<text x="%.1f" y="%.1f" text-anchor="%s" style="%s">%s</text>`, x, y, anchor, style, escape(text))
}

// end writes the whole as a file of its own, white behind, so that it can be read on
// dark pages too.
func (s *svg) end(w io.Writer, width, height float64) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, width, height, width, height, s.String())
	return err
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

const titleStyle = "font-size:14px;font-weight:bold"

// SVG writes the plot.
func (l Lines) SVG(w io.Writer) error {
	s := &svg{}
	x, y := l.scales()
	left, right := float64(leftRoom), float64(plotWidth-20)
	top, bottom := float64(topRoom), float64(topRoom+lineHeight)
	px := func(v float64) float64 { return left + x.place(v)*(right-left) }
	py := func(v float64) float64 { return bottom - y.place(v)*(bottom-top) }
	s.text(left, 20, "start", titleStyle, l.Title)
	for _, t := range y.ticks {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#ddd"/>`, left, right, py(t.At), py(t.At))
		s.text(left-6, py(t.At)+4, "end", "", t.Text)
	}
	for _, t := range x.ticks {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#eee"/>`, px(t.At), px(t.At), top, bottom)
		s.text(px(t.At), bottom+16, "middle", "", t.Text)
	}
	s.text((left+right)/2, bottom+34, "middle", "", l.X)
	s.add(`<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, (top+bottom)/2, escape(l.Y))
	if l.Reference > 0 {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#222" stroke-dasharray="5 4"/>`, left, right, py(l.Reference), py(l.Reference))
	}
	var names []string
	for i, series := range l.Series {
		var points strings.Builder
		for k := range series.X {
			if !math.IsNaN(series.Y[k]) {
				fmt.Fprintf(&points, "%.1f,%.1f ", px(series.X[k]), py(series.Y[k]))
			}
		}
		s.add(`<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`, colour(i), strings.TrimSpace(points.String()))
		names = append(names, series.Name)
	}
	s.legend(left, names)
	return s.end(w, plotWidth, bottom+bottomRoom)
}

func colour(i int) string { return colours[i%len(colours)] }

// legend names the colours below the title, in two lines if one is too short.
func (s *svg) legend(left float64, names []string) {
	const letter, box = 6.3, 42 // of a name; of the box before it, and the gap behind
	x, y := left, 38.0
	for i, name := range names {
		width := box + letter*float64(utf8.RuneCountInString(name))
		if x > left && x+width > plotWidth {
			x, y = left, y+17
		}
		s.add(`<rect x="%.1f" y="%.1f" width="14" height="8" fill="%s"/>`, x, y-8, colour(i))
		s.text(x+19, y, "start", "", name)
		x += width
	}
}

// axis turns values into places between 0 and 1.
type axis struct {
	low, high float64
	log       bool
	ticks     []Tick
}

func (a axis) place(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(math.Max(v, a.low)), math.Log10(low), math.Log10(high)
	}
	if high == low {
		return 0
	}
	return min(1, max(0, (v-low)/(high-low)))
}

func (l Lines) scales() (x, y axis) {
	x, y = axis{low: math.Inf(1), high: math.Inf(-1)}, axis{low: math.Inf(1), high: l.Reference, log: l.LogY}
	for _, s := range l.Series {
		for i, v := range s.Y {
			x.low, x.high = min(x.low, s.X[i]), max(x.high, s.X[i])
			if !math.IsNaN(v) && (!l.LogY || v > 0) {
				y.low, y.high = min(y.low, v), max(y.high, v)
			}
		}
	}
	x.ticks = l.XTicks
	if x.ticks == nil {
		x.ticks = linear(x.low, x.high)
	}
	if !l.LogY {
		y.low = 0
		y.ticks = linear(0, y.high)
		y.high = max(y.high, y.ticks[len(y.ticks)-1].At)
		return x, y
	}
	y.low, y.high = math.Pow(10, math.Floor(math.Log10(y.low))), math.Pow(10, math.Ceil(math.Log10(y.high)))
	for v := y.low; v <= y.high*1.001; v *= 10 {
		y.ticks = append(y.ticks, Tick{v, fmt.Sprintf("%.6g", v)})
	}
	return x, y
}

// linear are round steps from low to at least high.
func linear(low, high float64) []Tick {
	if high <= low || math.IsInf(high, 0) || math.IsInf(low, 0) {
		return []Tick{{low, fmt.Sprintf("%g", low)}}
	}
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, part := range []float64{.1, .2, .5, 1, 2} {
		if (high-low)/(step*part) <= 6 {
			step *= part
			break
		}
	}
	var ticks []Tick
	for v := math.Floor(low/step) * step; ; v += step {
		if v >= low-step/1e6 {
			ticks = append(ticks, Tick{v, fmt.Sprintf("%.6g", v)})
		}
		if v >= high {
			return ticks
		}
	}
}
