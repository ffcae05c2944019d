// Package protocol is what a server and the agent on a source say to each other (docs/protocol.md): frames, and the
// messages in them.
//
// The server asks, the agent answers; each answer bears the number of its question, and many questions are under
// way at once. Parsing never panics, takes no memory by a length that it read beyond what is there, and refuses
// whatever is over a limit. What was parsed shares no memory with the frame, unless its doc says so.
//
// The package is pure but for Reader and Writer, which serve one goroutine each.
package protocol
