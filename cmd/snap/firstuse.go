package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/repo"
	"golang.org/x/sys/unix"
)

// keyFile returns the name of the key of the default repository.
func (a *app) keyFile() (string, error) {
	dir, err := a.configFolder()
	return filepath.Join(dir, "key"), err
}

// defaultKey returns the key of the default repository, nil if there is none.
func (a *app) defaultKey() (*secret, error) {
	name, err := a.keyFile()
	if err != nil {
		return nil, err
	}
	s, err := readIdentity(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return s, err
}

// ensureDefault makes the default repository and its key unless they exist. Of several first
// runs at a time one does it while the others wait. It makes nothing for a backup of src that cannot be.
func (a *app) ensureDefault(ctx context.Context, at place, src *sourceChoice) error {
	if made, err := isMade(at); made || err != nil {
		return err
	}
	if _, err := a.options(); err != nil {
		return err
	}
	if _, _, err := a.global.limiters(); err != nil {
		return err
	}
	if src.check != nil {
		if err := src.check(ctx); err != nil {
			return err
		}
	}
	unlock, err := a.lockConfig()
	if err != nil {
		return err
	}
	defer unlock()
	if made, err := isMade(at); made || err != nil {
		return err
	}
	to, key, err := a.firstRecipient(ctx)
	if err != nil {
		return err
	}
	r, closeStore, err := a.create(ctx, at, to, newRepository{})
	if err != nil {
		return err
	}
	defer closeStore()
	if a.global.json {
		err = a.jsonNow(initialized{MessageType: "initialized", ID: r.ID(), Repository: at.location, KeyFile: key})
	} else {
		a.explainFirstUse(at.location, key)
	}
	return errors.Join(err, r.Close())
}

func isMade(at place) (bool, error) {
	for _, name := range []string{"snap.json", "copy/snap.json"} {
		if _, err := os.Lstat(filepath.Join(at.location, name)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// lockConfig locks the user's configuration folder, which it makes if need be. Where
// the file system knows no locks it does without.
func (a *app) lockConfig() (unlock func(), err error) {
	name, err := a.configFolder()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
	}
	return func() { dir.Close() }, nil
}

// firstRecipient returns what the default repository's first key slot is made for: the
// secret that was given, else a key file, which is made if it does not exist.
func (a *app) firstRecipient(ctx context.Context) (to *repo.Recipient, key string, err error) {
	s, err := a.fromFlags(ctx, &a.global.secret)
	if s == nil && err == nil {
		s, err = a.fromEnvironment(ctx)
	}
	if s == nil && err == nil {
		if key, err = a.keyFile(); err == nil {
			s, err = a.makeKey(key)
		}
	}
	if err != nil {
		return nil, "", err
	}
	to, err = recipientOf(s)
	return to, key, err
}

// makeKey returns the key in a file, which it makes if there is none. The key is durable
// before anything is encrypted with it.
func (a *app) makeKey(name string) (*secret, error) {
	if s, err := a.defaultKey(); s != nil || err != nil {
		return s, err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	content := fmt.Sprintf("# key of a snap repository; whoever has it can read all backups\n# created: %s\n%s\n",
		time.Now().UTC().Format(time.RFC3339), id)
	if err := writeKey(name, []byte(content)); err != nil {
		return nil, fmt.Errorf("store the key: %w", err)
	}
	return readIdentity(name)
}

// writeKey makes a file that only the user may read, in a folder that only the user may
// enter, and makes both durable. It does not replace a file: whoever was first has
// made the key. The steps are: write and sync under another name, link, sync the folder.
func writeKey(name string, data []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (a *app) explainFirstUse(location, key string) {
	if a.getenv("RESTIC_REPOSITORY") != "" {
		a.notef("note: RESTIC_REPOSITORY is set, but snap reads SNAP_REPOSITORY")
	}
	a.notef("made an encrypted repository in %s", location)
	if key != "" {
		a.notef("its key is in %s", key)
		a.notef("save the key outside this machine, on paper or in a password manager: without it")
		a.notef("nobody can read the backups. To see it: cat %s", key)
	}
}
