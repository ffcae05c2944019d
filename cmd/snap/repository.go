package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/snapkeep/snap/internal/ratelimit"
	"github.com/snapkeep/snap/repo"
)

// place says where the repository is, and whether somebody said so.
type place struct {
	location  string
	isDefault bool
	isFrom    bool // of a repository that is read beside the one that is written
}

// place returns where the repository is: flag, environment, configuration, or the default.
func (a *app) place() (place, error) {
	g := &a.global
	if g.repository != "" && g.repositoryFile != "" {
		return place{}, usageError("give one of --repo and --repository-file")
	}
	for _, try := range []struct{ location, file string }{
		{g.repository, g.repositoryFile}, {a.getenv("SNAP_REPOSITORY"), a.getenv("SNAP_REPOSITORY_FILE")},
	} {
		if try.location != "" {
			return place{location: try.location}, nil
		}
		if try.file != "" {
			return placeFromFile(try.file)
		}
	}
	if location, err := a.configuredPlace(); location != "" || err != nil {
		return place{location: location}, err
	}
	data, err := a.dataFolder()
	return place{location: filepath.Join(data, "repository"), isDefault: true}, err
}

func placeFromFile(name string) (place, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return place{}, fail(exitNoRepository, "repository file: %w", err)
	}
	location := strings.TrimSpace(string(data))
	if location == "" {
		return place{}, fail(exitNoRepository, "repository file %q is empty", name)
	}
	return place{location: location}, nil
}

// dataFolder, configFolder and cacheFolder return the user's folders for snap.
func (a *app) dataFolder() (string, error) { return a.folder("XDG_DATA_HOME", ".local/share") }

func (a *app) configFolder() (string, error) { return a.folder("XDG_CONFIG_HOME", ".config") }

func (a *app) cacheFolder() (string, error) { return a.folder("XDG_CACHE_HOME", ".cache") }

func (a *app) folder(variable, below string) (string, error) {
	if dir := a.getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "snap"), nil
	}
	home := a.getenv("HOME")
	if home == "" {
		return "", fail(exitNoRepository, "no repository given, and HOME is not set").withHint("use --repo, or SNAP_REPOSITORY")
	}
	return filepath.Join(home, below, "snap"), nil
}

// options returns the options of the library that the global flags stand for.
func (a *app) options() (repo.Options, error) {
	o := repo.Options{Logger: a.logger(), SkipVerify: a.global.noExtraSafe}
	var err error
	if o.PackSize, err = a.packSize(); err != nil {
		return o, err
	}
	if o.Compression, err = a.compression(); err != nil {
		return o, err
	}
	if o.MetadataCacheBytes, err = a.cacheSize(); err != nil {
		return o, err
	}
	if !a.global.noCache {
		o.CacheDir = a.cacheDir()
	}
	return o, nil
}

// cacheDir returns the folder for caches, empty if there can be none.
func (a *app) cacheDir() string {
	for _, dir := range []string{a.global.cacheDir, a.getenv("SNAP_CACHE_DIR")} {
		if dir != "" {
			return dir
		}
	}
	dir, err := a.cacheFolder()
	if err != nil {
		return ""
	}
	return dir
}

// stateDir returns the folder for what this machine has seen, empty if there can be none.
func (a *app) stateDir() string {
	dir, err := a.folder("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return ""
	}
	return dir
}

// isRemote reports whether the place is on another machine.
func (p place) isRemote() bool {
	return strings.HasPrefix(p.location, "sftp:") || strings.HasPrefix(p.location, "s3:")
}

// identity tells a place from others, whatever folder the program runs in.
func (p place) identity() string {
	if scheme, _, ok := strings.Cut(p.location, ":"); ok && !strings.Contains(scheme, "/") {
		return p.location
	}
	abs, err := filepath.Abs(p.location)
	if err != nil {
		return p.location
	}
	return abs
}

// limit bounds what goes through a store.
func (a *app) limit(store repo.Store) (repo.Store, error) {
	upload, download, err := a.global.limiters()
	if err != nil {
		return nil, err
	}
	return ratelimit.Wrap(store, upload, download), nil
}

// withRepo opens the repository, runs fn and closes it.
func (a *app) withRepo(ctx context.Context, fn func(*repo.Repo) error) error {
	at, err := a.place()
	if err != nil {
		return err
	}
	return a.withRepoAt(ctx, at, fn)
}

func (a *app) withRepoAt(ctx context.Context, at place, fn func(*repo.Repo) error) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	opts.StateDir, opts.Place, opts.AcceptRollback = a.stateDir(), at.identity(), a.global.acceptRollback
	opts.WarmUp = a.warmUp(at.location)
	store, err := a.openRepoStore(ctx, at, a.global.asOf != "" && a.command != copyName)
	if err != nil {
		return err
	}
	defer store.Close()
	if a.global.asOf != "" {
		opts.CacheDir = "" // it is of the repository as it is
	}
	credential, err := a.openingCredential(ctx, at)
	if err != nil {
		return err
	}
	if storeReaders[a.command] {
		opts.MetadataCacheBytes = -1
	}
	opts.OneRun = true
	if writers[a.command] {
		credential = credential.AsWriter()
	}
	r, err := repo.Open(ctx, store, credential, opts)
	if errors.Is(err, repo.ErrNoRepository) || errors.Is(err, fs.ErrNotExist) {
		return notHere(at, err)
	}
	if err != nil {
		return withReason(at, err)
	}
	debug.FreeOSMemory() // what the derivation of the key took is not needed again
	if guarded[a.command] && a.global.asOf == "" {
		return errors.Join(a.guard(ctx, r, fn), r.Close())
	}
	return errors.Join(fn(r), r.Close())
}

// writers are the commands that read no file data: of a full key slot they take what a writer's has. A source that breaks into the
// decoder of a pull finds no key to what was stored before.
var writers = map[string]bool{"snap pull": true, "snap verify": true, "snap forget": true, "snap prune": true}

// storeReaders are the commands that want to know what the store has, and take nothing from what is kept of it.
var storeReaders = map[string]bool{"snap verify": true, "snap repair": true}

// guarded are the commands that compare the repository with what this machine has seen of it before.
var guarded = map[string]bool{"snap backup": true, "snap snapshots": true, "snap check": true, "snap forget": true, "snap undelete": true, "snap prune": true,
	"snap lock extend": true, "snap lock report": true}

// guard runs fn unless the storage was put back in time, and keeps what was seen.
func (a *app) guard(ctx context.Context, r *repo.Repo, fn func(*repo.Repo) error) error {
	if err := r.CheckRollback(ctx); err != nil {
		return err
	}
	err := fn(r)
	if err := r.Remember(); err != nil {
		a.warn("a later rollback of the repository may go unnoticed: " + err.Error())
	}
	return err
}

// copyName is the command that reads another repository, which --as-of is about then.
const copyName = "snap copy"

// readers are the commands that --as-of goes with.
var readers = map[string]bool{"snap snapshots": true, "snap restore": true, "snap ls": true, "snap find": true, "snap history": true, "snap diff": true,
	"snap dump": true, "snap mount": true, "snap stats": true, "snap check": true, "snap cat": true, copyName: true}

// past returns the store as it was at the time of --as-of.
func (a *app) past(store repo.Store) (repo.Store, error) {
	if !readers[a.command] {
		return nil, usageError("--as-of goes with commands that only read, and with snap copy")
	}
	at, err := parseTime(a.global.asOf)
	if err != nil {
		return nil, err
	}
	past, err := repo.AsOf(store, at)
	if err != nil {
		return nil, usageError("--as-of: %v", err)
	}
	return past, nil
}

// openStore opens the store of a repository, as it was at the time of --as-of if past is set.
func (a *app) openStore(ctx context.Context, at place, past bool) (repo.Store, error) {
	store, err := a.openPlace(ctx, at, past)
	if err != nil {
		return nil, err
	}
	_, _, err = store.Stat(ctx, "snap.json")
	if errors.Is(err, fs.ErrNotExist) { // its copy opens the repository, for a repair above all
		_, _, err = store.Stat(ctx, "copy/snap.json")
	}
	if errors.Is(err, fs.ErrNotExist) {
		store.Close()
		return nil, notHere(at, repo.ErrNoRepository)
	} else if err != nil {
		store.Close()
		return nil, unreachable(at, err)
	}
	return a.limit(store)
}

// openRepoStore is openStore before the repository is opened, which tells as well whether it is there: nobody looks at it before that where it would
// take a request, unless a person is to be asked for a passphrase.
func (a *app) openRepoStore(ctx context.Context, at place, past bool) (repo.Store, error) {
	if !strings.HasPrefix(at.location, "s3:") || !a.asksNobody() {
		return a.openStore(ctx, at, past)
	}
	store, err := a.openPlace(ctx, at, past)
	if err != nil {
		return nil, err
	}
	return a.limit(store)
}

// openPlace opens the store at a place, whatever is in it.
func (a *app) openPlace(ctx context.Context, at place, past bool) (repo.Store, error) {
	o, err := a.storeOptions()
	if err != nil {
		return nil, err
	}
	store, err := o.Open(ctx, at.location)
	if err != nil {
		return nil, notHere(at, storeError(at, err))
	}
	if past {
		was, err := a.past(store)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		store = was
	}
	return store, nil
}

// storeError tells a place that cannot be understood from one that cannot be opened.
func storeError(at place, err error) error {
	if info, statErr := os.Stat(at.location); statErr == nil && !info.IsDir() {
		return fmt.Errorf("%w: %w", repo.ErrNoRepository, err)
	}
	var reason *fs.PathError
	var number syscall.Errno
	if errors.Is(err, repo.ErrHostKey) || errors.Is(err, fs.ErrPermission) && at.isRemote() {
		return unreachable(at, err)
	}
	if errors.As(err, &reason) || errors.As(err, &number) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return usageError("%v", err)
}

// notHere explains that there is no repository at a place.
func notHere(at place, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, repo.ErrNoRepository) {
		return err
	}
	if at.isDefault {
		return fail(exitNoRepository, "no repository given, and none at the default place %s", at.location).
			withHint("use --repo or SNAP_REPOSITORY, or make the first backup: snap backup FOLDER")
	}
	hint := "check the place, or make a repository there: snap init"
	if at.isFrom {
		hint = "check the place: --from-repo, or SNAP_FROM_REPOSITORY"
	}
	return fail(exitNoRepository, "there is no repository at %s", at.location).withHint(hint)
}

// openingCredential returns what opens the repository: what was given, else the key file of
// the default repository, else what a person types.
func (a *app) openingCredential(ctx context.Context, at place) (*repo.Credential, error) {
	s, err := a.fromFlags(ctx, &a.global.secret)
	if s == nil && err == nil {
		s, err = a.fromEnvironment(ctx)
	}
	if s == nil && err == nil && at.isDefault {
		s, err = a.defaultKey()
	}
	if s == nil && err == nil {
		s, err = a.ask("passphrase of the repository: ", "", false)
	}
	if err != nil {
		return nil, err
	}
	return a.credential(s)
}

// foreignEnvironment returns a hint if the user seems to expect that variables of restic are
// read.
func (a *app) foreignEnvironment(code int) string {
	if code != exitNoRepository && code != exitWrongKey {
		return ""
	}
	for _, suffix := range []string{"REPOSITORY", "REPOSITORY_FILE", "PASSWORD", "PASSWORD_FILE", "PASSWORD_COMMAND"} {
		if a.getenv("RESTIC_"+suffix) != "" && a.getenv("SNAP_"+suffix) == "" {
			return "RESTIC_" + suffix + " is set, but snap reads SNAP_" + suffix + "; a repository of restic is of another format"
		}
	}
	return ""
}
