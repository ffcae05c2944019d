// Package mem keeps a store in memory, for tests and for embedding. Durable
// means here: as long as the Store is referenced. Closing a Store keeps its
// files, so that it can be opened again by using it.
package mem
