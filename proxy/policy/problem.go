package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds how many problems one file reports.
const maxProblems = 100

// Problem is one thing that is wrong with a file, or that will hurt.
type Problem struct {
	File string
	// Line and Column begin at 1; the column counts characters.
	Line, Column int
	// Warning: the file can be used all the same.
	Warning bool
	Text    string
}

// String is the problem as "file:line:column: error: text", the form that
// editors and CI systems read.
func (p Problem) String() string {
	severity := "error"
	if p.Warning {
		severity = "warning"
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, severity, p.Text)
}

// Problems are the problems of one file, sorted by position. It is an error
// only where [Problems.Failed] says so.
type Problems []Problem

// Failed reports whether any problem is an error.
func (ps Problems) Failed() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return !p.Warning })
}

// Error is all problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// tidy sorts the problems, drops repetitions and cuts the list to what a person
// reads. Errors are kept before warnings.
func (ps Problems) tidy() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	ps = slices.Compact(ps)
	if len(ps) <= maxProblems {
		return ps
	}
	kept := make(Problems, 0, maxProblems+1)
	for _, warning := range []bool{false, true} {
		for _, p := range ps {
			if p.Warning == warning && len(kept) < maxProblems {
				kept = append(kept, p)
			}
		}
	}
	slices.SortStableFunc(kept, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	last := kept[len(kept)-1]
	last.Warning = !kept.Failed()
	last.Text = fmt.Sprintf("and %d more problems: fix these first", len(ps)-len(kept))
	return append(kept, last)
}

// pos is a place in the file.
type pos struct{ line, column int }

// reporter collects the problems of one file.
type reporter struct {
	file     string
	problems Problems
}

func (r *reporter) errorf(at pos, format string, args ...any) { r.add(at, false, format, args) }

func (r *reporter) warnf(at pos, format string, args ...any) { r.add(at, true, format, args) }

func (r *reporter) add(at pos, warning bool, format string, args []any) {
	if at.line < 1 {
		at = pos{1, 1}
	}
	r.problems = append(r.problems, Problem{
		File: r.file, Line: at.line, Column: max(at.column, 1),
		Warning: warning, Text: fmt.Sprintf(format, args...),
	})
}
