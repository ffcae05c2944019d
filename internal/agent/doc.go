// Package agent is the side of the protocol that runs on a source: it answers what a server asks, within what a policy
// allows (docs/protocol.md).
//
//	reader ─┬─ hello, begin, ping: answered at once
//	        ├─ list, read, fetch, hash: queue ─► workers ─┐
//	        └─ streams: a goroutine each ─────────────────┴─► frames to the server
//
// It keeps nothing between two questions but open directories, of which it holds a bounded number, and running
// streams. It writes nothing, and Restrict has the kernel see to that. All reading goes through descriptors, below the
// roots of the policy, without following links.
package agent
