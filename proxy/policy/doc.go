// Package policy turns Sluice's one file into one immutable snapshot: slices,
// listeners, tenants, who may be one of them, their limits, their compiled rules,
// and the routes that say in which slice a name lives.
//
// [Load] and [Parse] are the only way in, for start, reload and check alike.
// They read the whole syntax of the file and report every problem at once, each
// with file, line and column; a snapshot exists only when there is no error.
// Nothing here opens a socket, keeps a clock or changes after it was compiled,
// so a [Policy] may be read by any number of goroutines.
package policy
