// Package stats is the little statistics that the bench needs: medians, and their
// intervals without any belief about how the numbers are distributed.
package stats
