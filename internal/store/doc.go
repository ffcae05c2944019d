// Package store holds what every kind of storage shares: the contract itself,
// the rules for names, and readers that insist on an exact length.
//
// A store keeps whole immutable files by name. The contract is spelled with
// standard types only, so that anybody can implement it without importing this
// module; package repo declares the same interface for the public, and package
// repo/storetest proves implementations.
package store
