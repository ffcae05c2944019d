package repo

import (
	"errors"
	"io/fs"

	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/restore"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Errors that opening a repository returns.
var (
	// ErrNoRepository says that there is no repository in the store.
	ErrNoRepository = errors.New("no repository")
	// ErrExists says that there is one already, or something else that Create must not touch.
	ErrExists = errors.New("the place for the repository is not empty")
	// ErrWrongPassphrase says that no key slot opens with the credential.
	ErrWrongPassphrase = keyring.ErrWrongPassphrase
	// ErrNoSlot says that the repository has no key slot of the credential's kind.
	ErrNoSlot = keyring.ErrNoSlot
	// ErrDamagedSlot says that a key slot is damaged.
	ErrDamagedSlot = keyring.ErrDamagedSlot
	// ErrConfigSwapped says that key slot and snap.json belong to different repositories.
	ErrConfigSwapped = keyring.ErrConfigSwapped
	// ErrLastFullSlot says that the last key slot that can read file data must not be removed.
	ErrLastFullSlot = keyring.ErrLastFullSlot
	// ErrConflictingSlots says that the credential opens several key slots that give different secrets: all but one are forged.
	ErrConflictingSlots = keyring.ErrConflict
	// ErrNewer says that something was made by a newer version of the program. IsNewer asks the same of errors of all calls.
	ErrNewer = errors.New("made by a newer version of snap")
	// ErrDamaged says that something in the repository is damaged. IsDamage asks the same of errors of all calls.
	ErrDamaged = errors.New("damaged")
)

// Errors of making a Credential or a Recipient.
var (
	// ErrKeyFile says that a passphrase, an identity, a private key file or a public key cannot be used.
	ErrKeyFile = keyring.ErrKeyFile
	// ErrKeyFilePassphrase says that the passphrase of a private key file is wrong. Open returns it too.
	ErrKeyFilePassphrase = keyring.ErrKeyFilePassphrase
)

// Errors of work on an open repository.
var (
	// ErrCannotReadData says that the key slot is a writer's, which cannot read file data.
	ErrCannotReadData = keyring.ErrNoContentIdentity
	// ErrArchived says that a pack is kept where nobody can read it at once: see Options.WarmUp.
	ErrArchived = store.ErrArchived
	// ErrNoSnapshot says that no snapshot is selected.
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrAmbiguous says that an abbreviated id stands for several snapshots.
	ErrAmbiguous = errors.New("ambiguous snapshot id")
	// ErrRootMissing says that a folder or file that the backup was asked for does not exist.
	ErrRootMissing = source.ErrRootMissing
	// ErrStream says that a stream's command failed, so that no snapshot was made.
	ErrStream = source.ErrStream
	// ErrEmpty says that a backup found no file, and could not read a directory that may have some, so that no snapshot was made: see
	// BackupOptions.AllowEmpty.
	ErrEmpty = backup.ErrNothingRead
	// ErrUnreadable says that a file has no content in the snapshot: it could not be read when it was backed up.
	ErrUnreadable = restore.ErrUnreadable
	// ErrMissingChunk says that a part of a file is in no pack.
	ErrMissingChunk = chunks.ErrMissing
	// ErrVerify says that written data did not come back as it was before it was committed: bad
	// memory, or a fault in the compressor.
	ErrVerify = chunks.ErrVerify
)

// errNoContentKey says that the file of a content key is missing.
var errNoContentKey = errors.New("content key is missing")

// IsDamage reports whether err says that bytes of the repository are damaged or missing.
func IsDamage(err error) bool {
	for _, target := range []error{ErrDamaged, pack.ErrCorrupt, pack.ErrChunkMismatch, tree.ErrCorrupt, chunks.ErrMissing,
		keyring.ErrCorrupt, keyring.ErrDamagedSlot, errNoContentKey} {
		if errors.Is(err, target) {
			return true
		}
	}
	return isRecordDamage(err)
}

// IsNewer reports whether err says that something was made by a newer version.
func IsNewer(err error) bool {
	for _, target := range []error{ErrNewer, pack.ErrNewer, tree.ErrNewer, keyring.ErrNewer} {
		if errors.Is(err, target) {
			return true
		}
	}
	return isRecordNewer(err)
}

// told is an error for callers who compare it with the errors of this package.
type told struct {
	error
	means error // ErrDamaged or ErrNewer
}

// Is implements what errors.Is asks. A pack that is missing does not mean that a path is.
func (t *told) Is(target error) bool {
	return target == t.means || target != fs.ErrNotExist && errors.Is(t.error, target)
}

// As implements what errors.As asks.
func (t *told) As(target any) bool { return errors.As(t.error, target) }

// tell returns err such that it is ErrNewer or ErrDamaged if that is what it says, and then not fs.ErrNotExist.
func tell(err error) error {
	switch {
	case err == nil:
		return nil
	case IsNewer(err):
		return &told{err, ErrNewer}
	case IsDamage(err):
		return &told{err, ErrDamaged}
	}
	return err
}
