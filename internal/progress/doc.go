// Package progress shows how far a piece of work has come: a bar with rate and time
// left on a terminal, a line a minute into a pipe, or whatever else a Display draws.
//
// A Meter asks a function for the state now and then and draws it from one goroutine,
// which ends with Stop. What else is printed meanwhile goes through Meter.Print, so that it
// never mixes with the bar. Rate and time left follow the last seconds rather than
// the whole run. Drawing is the only thing that happens here: nothing is counted.
package progress
