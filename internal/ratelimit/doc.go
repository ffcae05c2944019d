// Package ratelimit bounds how many bytes a second go to a store and come from
// it.
//
// A [Limiter] is a bucket that fills at the rate and holds what flows in a
// quarter of a second, so that short pauses are made up for and no second sees
// more than a little over its share. All goroutines that share a Limiter share
// its rate, in the order in which they come.
package ratelimit
