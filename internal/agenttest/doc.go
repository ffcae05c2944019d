// Package agenttest is an agent for tests that lies. It has an encoder of frames of its own, written from docs/protocol.md, so that
// it can send anything. By itself it shows a small tree in memory as `snap agent` would; a test says which answers are others.
package agenttest
