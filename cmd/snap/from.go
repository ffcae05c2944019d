package main

import (
	"context"
	"errors"

	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
)

// fromFlags name a second repository, which is only read.
type fromFlags struct {
	repository, repositoryFile string
	secret                     secretFlags
}

func (f *fromFlags) register(flags *pflag.FlagSet, what string) {
	f.registerPlace(flags, what)
	f.secret.register(flags, fromPrefix, "")
}

// registerPlace leaves out the flags that give a key.
func (f *fromFlags) registerPlace(flags *pflag.FlagSet, what string) {
	flags.StringVar(&f.repository, "from-repo", "", what+" (SNAP_FROM_REPOSITORY)")
	flags.StringVar(&f.repositoryFile, "from-repository-file", "", "`file` with its place (SNAP_FROM_REPOSITORY_FILE)")
}

// given reports whether flags name a repository.
func (f *fromFlags) given(*app) bool { return f.repository != "" || f.repositoryFile != "" }

// place returns where the repository is.
func (f *fromFlags) place(a *app) (place, error) {
	if f.repository != "" && f.repositoryFile != "" {
		return place{}, usageError("give one of --from-repo and --from-repository-file")
	}
	for _, try := range []struct{ location, file string }{
		{f.repository, f.repositoryFile}, {a.getenv("SNAP_FROM_REPOSITORY"), a.getenv("SNAP_FROM_REPOSITORY_FILE")},
	} {
		if try.location != "" {
			return place{location: try.location, isFrom: true}, nil
		}
		if try.file != "" {
			at, err := placeFromFile(try.file)
			at.isFrom = true
			return at, err
		}
	}
	return place{}, usageError("no repository to read from").withHint("use --from-repo, or SNAP_FROM_REPOSITORY")
}

// openFrom opens the repository. The caller calls close.
func (a *app) openFrom(ctx context.Context, f *fromFlags) (r *repo.Repo, closeAll func() error, err error) {
	at, err := f.place(a)
	if err != nil {
		return nil, nil, err
	}
	opts, err := a.options()
	if err != nil {
		return nil, nil, err
	}
	store, err := a.openStore(ctx, at, a.global.asOf != "")
	if err != nil {
		return nil, nil, err
	}
	if a.global.asOf != "" {
		opts.CacheDir = ""
	}
	opts.WarmUp = a.warmUp(at.location)
	r, err = a.openFromStore(ctx, f, at, store, opts)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return r, func() error { return errors.Join(r.Close(), store.Close()) }, nil
}

func (a *app) openFromStore(ctx context.Context, f *fromFlags, at place, store repo.Store, opts repo.Options) (*repo.Repo, error) {
	s, err := a.fromFlags(ctx, &f.secret)
	if s == nil && err == nil {
		s, err = a.fromVariables(ctx, f.secret.variable)
	}
	if s == nil && err == nil {
		s, err = a.ask("passphrase of the repository "+quotedPlace(at)+": ", fromPrefix, false)
	}
	if err != nil {
		return nil, err
	}
	credential, err := a.credential(s)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, store, credential, opts)
	if err != nil {
		return nil, notHere(at, err)
	}
	return r, nil
}
