// Package agent is a source on another machine, read through the agent there (docs/protocol.md).
//
//	scanner ──List──► lookout: directories asked for ahead, in path order ─┐
//	workers ──Open──► files: small ones asked for in batches, ahead        ├─► link ─► agent
//	readers ──Open──► large files: read ahead, a window each               ┘
//
// Questions are answered in any order and many are under way at once, within bounds on what the answers can hold. When
// the connection is cut the link dials again and asks anew for what was not answered; nobody above notices.
//
// Whatever the agent says is taken for hostile: names, orders, sizes and counts are checked as they come, and an agent that
// breaks a rule ends the source with an error that satisfies errors.Is(err, source.ErrBroken). Bytes are hashed by
// the engine; a hash from the agent is only looked up in what the source itself has stored before.
package agent
