// Package memorytest looks into the memory of other processes: whether a secret is in it, and how much of it there was.
package memorytest
