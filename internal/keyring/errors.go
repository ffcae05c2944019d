package keyring

import "errors"

// Errors that say what is wrong with the repository.
var (
	// ErrCorrupt says that snap.json or a content key is damaged or not allowed by the format.
	ErrCorrupt = errors.New("damaged")
	// ErrNewer says that a file is of a version, or needs a feature, that this program does not know.
	ErrNewer = errors.New("made by a newer version")
	// ErrDamagedSlot says that a key slot is damaged or not allowed by the format.
	ErrDamagedSlot = errors.New("damaged key slot")
	// ErrConfigSwapped says that a slot opened but belongs to another snap.json than the one at hand.
	ErrConfigSwapped = errors.New("key slot and snap.json belong to different repositories")
	// ErrConflict says that one key opens several slots that hold different secrets; all but one are forged.
	ErrConflict = errors.New("key slots contradict each other")
)

// Errors that say what is wrong with the key that was given, or the request.
var (
	// ErrWrongPassphrase says that there are slots of the kind that the credential is for, and none opens with it.
	ErrWrongPassphrase = errors.New("wrong passphrase or key")
	// ErrNoSlot says that the repository has no slot of the kind that the credential is for.
	ErrNoSlot = errors.New("no key slot of this kind")
	// ErrKeyFile says that an identity, a private key file or a public key cannot be understood.
	ErrKeyFile = errors.New("unusable key")
	// ErrKeyFilePassphrase says that the passphrase of a private key file is wrong.
	ErrKeyFilePassphrase = errors.New("wrong passphrase for the private key file")
	// ErrNoContentIdentity says that the open slot is a writer's and lacks what would read file data.
	ErrNoContentIdentity = errors.New("this key slot is a writer: it cannot read file data")
	// ErrLastFullSlot says that a removal would leave no key slot that can read file data.
	ErrLastFullSlot = errors.New("the last key slot that can read file data")
)
