package policy

import "slices"

// indexFrom is from how many globs on they are filed: fewer are tried one by one
// faster than they are looked up.
const indexFrom = 16

// globIndex files globs by the literal text that they begin and end with, so that
// what a lookup costs depends on how many different lengths those texts have, not on
// how many globs there are. Globs that differ only between two wildcards are still
// tried one by one. It never changes.
type globIndex struct {
	byPrefix map[string]*globsBySuffix
	lengths  []int // of the prefixes, ascending
}

type globsBySuffix struct {
	bySuffix map[string][]globMask
	lengths  []int
}

// indexGlobs files globs; nil if there are too few to be worth it.
func indexGlobs(globs []globMask) *globIndex {
	if len(globs) < indexFrom {
		return nil
	}
	x := &globIndex{byPrefix: map[string]*globsBySuffix{}}
	for _, g := range globs {
		b := x.byPrefix[g.prefix]
		if b == nil {
			b = &globsBySuffix{bySuffix: map[string][]globMask{}}
			x.byPrefix[g.prefix] = b
			x.lengths = withLength(x.lengths, len(g.prefix))
		}
		b.bySuffix[g.suffix] = append(b.bySuffix[g.suffix], g)
		b.lengths = withLength(b.lengths, len(g.suffix))
	}
	return x
}

func withLength(lengths []int, n int) []int {
	if i, found := slices.BinarySearch(lengths, n); !found {
		return slices.Insert(lengths, i, n)
	}
	return lengths
}

// allowed goes on with the globs that can match the name.
func (x *globIndex) allowed(allowed bool, want operations, name string) bool {
	denied := false
	for _, n := range x.lengths {
		if n > len(name) {
			break
		}
		b := x.byPrefix[name[:n]]
		if b == nil {
			continue
		}
		for _, m := range b.lengths {
			if n+m > len(name) {
				break
			}
			if allowed, denied = judge(b.bySuffix[name[len(name)-m:]], allowed, want, name); denied {
				return false
			}
		}
	}
	return allowed
}
