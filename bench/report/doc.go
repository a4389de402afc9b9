// Package report turns what was measured into a table, JSON and plots. It measures
// nothing, and what it prints can be computed again from the JSON.
package report
