// Package simulation holds no code that ships, only a test: several machines back up, forget, undelete, prune and
// repair in one repository, in virtual time, over a store whose listings lag. Machines stall and crash between any
// two operations, and clocks lie. Whatever happens, each snapshot that stands in the store can be
// restored at any moment, and none that was not forgotten is missing.
//
//	SNAP_INTERLEAVINGS=10000 go test -timeout 6h -v ./internal/simulation
//	SNAP_FIRST_SEED=10000 SNAP_INTERLEAVINGS=20000 go test -timeout 6h -v ./internal/simulation
//	SNAP_SEED=80 SNAP_TRACE=1 go test -v ./internal/simulation
package simulation
