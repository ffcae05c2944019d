package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type initialized struct {
	MessageType string `json:"message_type"`
	ID          string `json:"id"`
	Repository  string `json:"repository"`
	KeyFile     string `json:"key_file,omitempty"`
}

func (a *app) initCommand() *cobra.Command {
	var recipient string
	var like fromFlags
	var lock lockFlags
	c := &cobra.Command{
		Use:     "init",
		GroupID: "make",
		Short:   "Make a repository",
		Long: `Make a repository in an empty folder, with a first key.

The key is what you give: a passphrase, an age identity file or an SSH private
key (--identity-file), or only the public key that belongs to one (--recipient).
Without the key nobody can read the backups: keep a copy of it elsewhere.

What --compression and --pack-size say is stored and holds for all that write to the
repository; see snap settings.`,
		Example: `  snap init --repo /mnt/disk/backup
  snap init --repo /mnt/disk/backup --password-file ~/passphrase
  snap init --repo sftp://backup@nas/srv/backup --compression better
  snap init --repo /mnt/disk/backup --identity-file ~/.ssh/id_ed25519
  snap init --repo /mnt/disk/backup --recipient age1mrd...`,
		Args:        noArgs,
		Annotations: safe("no repository was made, and nothing that was there was changed"),
		RunE:        func(c *cobra.Command, _ []string) error { return a.init(c.Context(), recipient, &like, &lock) },
	}
	lock.register(c.Flags())
	like.register(c.Flags(), "cut files in the same places as this repository, so that copies keep their cuts: `place`")
	c.Flags().StringVar(&recipient, "recipient", "", "public `key` (age1... or ssh-...) or a file that holds it")
	return c
}

func (a *app) init(ctx context.Context, recipient string, like *fromFlags, lockFlags *lockFlags) error {
	lock, locked, err := lockFlags.lock()
	if err != nil {
		return err
	}
	at, err := a.place()
	if err != nil {
		return err
	}
	to, key, err := a.initRecipient(ctx, at, recipient)
	if err != nil {
		return err
	}
	o := newRepository{locked: lock != nil}
	if like.given(a) {
		from, closeFrom, err := a.openFrom(ctx, like)
		if err != nil {
			return err
		}
		defer closeFrom()
		o.CutLike = from
	}
	r, closeStore, err := a.create(ctx, at, to, o)
	if err != nil {
		return err
	}
	defer closeStore()
	if err = a.keepSettings(ctx, r); err == nil && locked {
		err = a.setLock(ctx, r, lock)
	}
	if err != nil {
		return errors.Join(err, r.Close())
	}
	if a.global.json {
		err = a.jsonLine(initialized{MessageType: "initialized", ID: r.ID(), Repository: at.location, KeyFile: key})
	} else {
		a.printf("made repository %s in %s", r.ID()[:10], quotedPlace(at))
		if at.isDefault {
			a.explainFirstUse(at.location, key)
		} else {
			a.notef("keep a copy of its key elsewhere: without the key nobody can read the backups")
		}
	}
	return errors.Join(err, r.Close())
}

// newRepository is what a repository is made like.
type newRepository struct {
	repo.CreateOptions
	locked bool // in a bucket with Object Lock
}

func (a *app) initRecipient(ctx context.Context, at place, recipient string) (*repo.Recipient, string, error) {
	if recipient != "" {
		to, err := parseRecipient(recipient)
		return to, "", err
	}
	s, err := a.fromFlags(ctx, &a.global.secret)
	if s == nil && err == nil {
		s, err = a.fromEnvironment(ctx)
	}
	if s == nil && err == nil && at.isDefault {
		return a.firstRecipient(ctx)
	}
	if s == nil && err == nil {
		s, err = a.ask("passphrase for the new repository: ", "", true)
	}
	if err != nil {
		return nil, "", err
	}
	to, err := recipientOf(s)
	return to, "", err
}

// create makes a repository. The caller closes it, then the store.
func (a *app) create(ctx context.Context, at place, to *repo.Recipient, o newRepository) (*repo.Repo, func() error, error) {
	var err error
	if o.Options, err = a.options(); err != nil {
		return nil, nil, err
	}
	where, err := a.storeOptions()
	if err != nil {
		return nil, nil, err
	}
	where.ObjectLock = o.locked
	store, err := where.Create(ctx, at.location)
	if errors.Is(err, fs.ErrExist) { // perhaps with what an attempt left that was cut off
		store, err = where.Open(ctx, at.location)
	}
	if err != nil {
		return nil, nil, storeError(at, err)
	}
	limited, err := a.limit(store)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	r, err := repo.Create(ctx, limited, to, o.CreateOptions)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return r, store.Close, nil
}
