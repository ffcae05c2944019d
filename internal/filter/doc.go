// Package filter matches paths against the patterns of --exclude and --include, as
// restic understands them.
//
// A pattern is cut at its slashes into parts; each part is matched against one
// name of the path with the rules of filepath.Match, and the part ** stands for any
// number of names, also none. A pattern that begins with a slash starts at the top
// of the path, any other one at each of its names. A path matches if the
// pattern matches it or one of the folders above it, so that "cache" excludes all
// that lies in a folder of that name. A pattern behind an exclamation mark takes out
// again what the patterns before it matched; the last one that matches decides.
//
// A List is compiled once. For a walk it gives a State for each folder, so that
// a name costs one step whatever the length of its path. Lists and states do not
// change and may be used by several goroutines at once.
package filter
