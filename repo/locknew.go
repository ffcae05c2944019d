package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/pack"
)

// LockSnapshots makes sure that everything that snapshots need which were made a moment ago is locked, older files among it, for the minimum that the
// settings ask for at least, and for as long as the policies that are stored keep these snapshots. It looks at no other snapshot, and asks for no lock of
// which Options.StateDir tells that it lasts: ExtendLocks does both. Without a lock in the settings it does nothing and the result is nil. The error wraps
// ErrHidden beside a complete result if something was removed that is needed.
func (r *Repo) LockSnapshots(ctx context.Context, ids []SnapshotID) (*LockResult, error) {
	defer r.use()()
	if r.objectLock == nil || len(ids) == 0 {
		return nil, nil
	}
	s, ok := able[lockStore](r.store)
	if !ok {
		return nil, ErrCannotLock
	}
	only := map[SnapshotID]bool{}
	for _, id := range ids {
		only[id] = true
	}
	e := &extender{s: s, lock: r.objectLock, now: r.now(), result: &LockResult{}, known: r.knownLocks(), trusting: true}
	plan, err := r.planLocks(ctx, e.lock, e.now, only)
	var files map[string]*versioned
	if err == nil {
		files, err = listVersions(ctx, s)
	}
	if err == nil {
		plan.needSmallOf(files)
		for id := range plan.broken {
			e.result.Broken = append(e.result.Broken, id)
		}
		err = e.extendAll(ctx, plan, files)
		r.keepKnownLocks(e.known, files)
	}
	if err != nil {
		return e.result, fmt.Errorf("extend locks: %w", err)
	}
	if len(e.result.Hidden)+len(e.result.Missing)+len(e.result.Broken) > 0 {
		return e.result, ErrHidden
	}
	return e.result, nil
}

// needSmallOf adds those of the files that are shown and that all snapshots need.
func (p *lockPlan) needSmallOf(files map[string]*versioned) {
	for name, f := range files {
		if f.shown && slices.ContainsFunc(smallNeeded, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			p.need(name, p.last)
		}
	}
}

const (
	locksVersion = 1
	locksLimit   = 256 << 20 // bytes
)

// locksFile is what is remembered of the locks of a repository, in Options.StateDir. It saves asking, and nothing more.
type locksFile struct {
	Version int              `json:"version"`
	Until   map[string]int64 `json:"until"` // seconds, by lockKey
}

func lockKey(name, version string) string { return name + " " + version }

func (r *Repo) locksPath() string {
	return filepath.Join(r.opts.StateDir, "locks", r.ID()+"-"+pack.SumID([]byte(r.opts.Place)).String()[:16]+".json")
}

// knownLocks returns the locks that are remembered; none if there is no file, or none that can be used.
func (r *Repo) knownLocks() map[string]time.Time {
	known := map[string]time.Time{}
	if r.opts.StateDir == "" {
		return known
	}
	info, err := os.Stat(r.locksPath())
	if err != nil || info.Size() > locksLimit {
		return known
	}
	data, err := os.ReadFile(r.locksPath())
	var f locksFile
	if err != nil || json.Unmarshal(data, &f) != nil || f.Version != locksVersion {
		return known
	}
	for key, until := range f.Until {
		known[key] = time.Unix(until, 0)
	}
	return known
}

// keepKnownLocks remembers locks of versions that are there.
func (r *Repo) keepKnownLocks(known map[string]time.Time, files map[string]*versioned) {
	if r.opts.StateDir == "" {
		return
	}
	out := locksFile{Version: locksVersion, Until: map[string]int64{}}
	for key, until := range known {
		name, version, _ := strings.Cut(key, " ")
		f := files[name]
		if f != nil && slices.ContainsFunc(f.versions, func(v store.Version) bool { return v.ID == version }) {
			out.Until[key] = until.Unix()
		}
	}
	if err := writeState(r.locksPath(), &out); err != nil {
		r.log.Warn("what is locked cannot be noted on this machine: it will be asked for again", "error", err)
	}
}

// writeState writes a file of the state folder anew, and then gives it the name. It need not survive a crash.
func writeState(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".locks-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
