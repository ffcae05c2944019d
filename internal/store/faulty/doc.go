// Package faulty wraps stores, for tests, with what goes wrong in the world:
//
//   - [Injector] fails chosen operations with chosen errors, in the middle too;
//   - [Damage] flips bits and cuts files, as seen by readers;
//   - [Rewrite] damages a stored file in a chosen way;
//   - [Disk] is a store in memory that can crash and come up again;
//   - [Delayed] shows files in listings late, to each client in its own time;
//   - [Counter] counts operations and bytes, which is no fault but finds some.
//
// Whatever is random comes from a seed or from a source that the caller gives,
// so that a failure can be had again. A wrapper is a store.Spooler if what it
// wraps is one. Everything here is safe for concurrent use.
package faulty
