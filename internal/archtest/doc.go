// Package archtest states which package may import which, and who may reach for the
// operating system, for keys, for compression and for the network (docs/architecture.md). Its
// test reads the imports of all packages and fails when an arrow turns. Loosening a rule is a change of
// design.
package archtest
