// Package keyring keeps the secrets of a repository and the slots that wrap them:
// docs/format.md sections 3 and 4.
//
// A [Config] is the repository's file snap.json: it says which repository this is
// and which features it needs, in the clear. [Secrets] are what a program must know
// to work with the repository. A key slot is a file that holds the secrets,
// encrypted by age for one passphrase, one age recipient or one SSH key, which a
// [Recipient] stands for; a [Credential] is what opens slots again.
//
// There are two roles. A full slot holds all secrets. A writer slot lacks the
// content identity: whoever opens it can deduplicate, list, forget and prune, and
// can seal file data for the repository, but can read no file data that another
// run sealed. That is the work of [ContentKeys], which opens the content keys of
// earlier runs and knows those of this run. Whoever holds a full slot and has a writer's work to do
// opens it with [Credential.AsWriter].
//
// # What a slot proves
//
// A slot for a passphrase can be made only by somebody who knows the passphrase. A
// slot for a public key can be made by anybody: a storage that lies could offer one
// with secrets of its own. Open therefore refuses slots that open with one key and
// hold different secrets, and [Secrets.Fingerprint] lets a caller remember what it
// saw first.
//
// # Memory
//
// The package keeps no passphrase after a call and nothing of what a key derivation
// took, 64 MiB by default. The collector gives that back to the system when it likes; a
// command that wants it back at once calls debug.FreeOSMemory.
//
// Values may be shared by goroutines, except a Credential, which belongs to one
// goroutine at a time. Only the functions of store.go and [ContentKeys] do I/O. No
// secret appears in an error, and printing a value shows none.
package keyring
