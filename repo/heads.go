package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
)

// ErrRolledBack says that the storage does not hold what this machine has seen in it before, or that the
// key slot gives other secrets than before. Somebody put the storage back in time, or tampers with it.
var ErrRolledBack = errors.New("the repository is not what it was")

const (
	headsVersion = 1
	headsLimit   = 16 << 20
	manyHeads    = 4 // from there on a listing costs less than to ask for each
)

// headsFile is what is remembered of a repository, in Options.StateDir.
type headsFile struct {
	Version int               `json:"version"`
	Secrets string            `json:"secrets"` // fingerprint
	Places  map[string]*place `json:"places"`
}

// place is what was seen at one place of a repository. A copy at another place may be older.
type place struct {
	Heads map[snapshot.SourceID]head `json:"heads"`         // the newest snapshot of each source
	Log   string                     `json:"log,omitempty"` // the newest entry
}

// head is the newest snapshot of a source.
type head struct {
	Sequence uint64 `json:"sequence"`
	ID       string `json:"id"`
	Leaving  bool   `json:"leaving,omitempty"` // this machine was about to forget it
}

// heads collects what a run sees. The zero heads has seen nothing.
type heads struct {
	mu   sync.Mutex // guards what follows
	seen map[snapshot.SourceID]head
	all  bool // every snapshot was looked at
	log  string
}

// note takes snapshots as seen.
func (h *heads) note(all ...*Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[snapshot.SourceID]head{}
	}
	for _, s := range all {
		if was, ok := h.seen[s.Source]; !ok || s.Sequence >= was.Sequence {
			h.seen[s.Source] = head{Sequence: s.Sequence, ID: s.ID.String()}
		}
	}
}

// leave takes the snapshots, which are all there are, as seen but for some.
func (h *heads) leave(all []*Snapshot, gone map[SnapshotID]bool) {
	h.mu.Lock()
	clear(h.seen)
	h.all = true
	h.mu.Unlock()
	h.note(slices.DeleteFunc(slices.Clone(all), func(s *Snapshot) bool { return gone[s.ID] })...)
}

// noteLog takes a log entry as seen.
func (h *heads) noteLog(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = max(h.log, name)
}

func (r *Repo) headsPath() string { return filepath.Join(r.opts.StateDir, r.ID()+".json") }

// loadHeads returns what is remembered; nothing if there is no file, or none that can be used.
func (r *Repo) loadHeads() *headsFile {
	none := &headsFile{Version: headsVersion, Places: map[string]*place{}}
	f, err := os.Open(r.headsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return none
	}
	if err == nil {
		defer f.Close()
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() > headsLimit {
			err = fmt.Errorf("%d bytes are over the limit", info.Size())
		}
	}
	out := &headsFile{}
	if err == nil {
		err = json.NewDecoder(f).Decode(out)
	}
	if err == nil && out.Version != headsVersion {
		err = fmt.Errorf("version %d is not known", out.Version)
	}
	if err != nil {
		r.log.Warn("what was seen of the repository before is not known", "file", r.headsPath(), "error", err)
		return none
	}
	if out.Places == nil {
		out.Places = map[string]*place{}
	}
	for name, p := range out.Places {
		if p == nil || p.Heads == nil {
			delete(out.Places, name)
		}
	}
	return out
}

// saveHeads writes the file anew, and then gives it the name.
func (r *Repo) saveHeads(h *headsFile) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.opts.StateDir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(r.opts.StateDir, "."+r.ID()+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), r.headsPath())
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// checkSecrets returns ErrRolledBack if the key slot gave other secrets than it did before.
func (r *Repo) checkSecrets() error {
	if r.opts.StateDir == "" || r.opts.AcceptRollback {
		return nil
	}
	if was := r.loadHeads().Secrets; was != "" && was != r.secrets.Fingerprint() {
		return fmt.Errorf("%w: the key slot gives other secrets than it did before", ErrRolledBack)
	}
	return nil
}

// CheckRollback compares the storage with what Remember has kept in Options.StateDir of earlier runs. The error wraps
// ErrRolledBack if the newest snapshot of a source is gone that nobody has forgotten, or the newest entry of the log. Without
// StateDir, and with AcceptRollback, all is well.
func (r *Repo) CheckRollback(ctx context.Context) error {
	if r.opts.StateDir == "" || r.opts.AcceptRollback {
		return nil
	}
	before := r.loadHeads().Places[r.opts.Place]
	if before == nil {
		return nil
	}
	lost, err := r.lostHeads(ctx, before)
	if err != nil {
		return fmt.Errorf("compare with what was seen before: %w", err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("%w: snapshot %.8s, the newest of its source when this machine last looked, is gone and nobody has forgotten it", ErrRolledBack, lost[0].ID)
	}
	if before.Log == "" {
		return nil
	}
	there, err := r.exists(ctx, logPrefix+before.Log)
	if err == nil && !there {
		err = fmt.Errorf("%w: entry %.10s of the log, which was there before, is gone", ErrRolledBack, before.Log)
	}
	return err
}

// lostHeads returns the heads that are gone although nobody has forgotten them.
func (r *Repo) lostHeads(ctx context.Context, before *place) (lost []head, err error) {
	listed := map[string]bool{}
	opened := r.opened.Load()
	if opened != nil || len(before.Heads) > manyHeads {
		var from lister = r.store
		if opened != nil {
			from = opened
		}
		ids, err := r.listIDs(ctx, from, sealed.Snapshot)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			listed[id.String()] = true
		}
	}
	for _, source := range slices.SortedFunc(maps.Keys(before.Heads), func(a, b snapshot.SourceID) int { return strings.Compare(a.String(), b.String()) }) {
		h := before.Heads[source]
		there := h.Leaving || listed[h.ID]
		for _, prefix := range []string{sealed.Snapshot.Prefix, sealed.Trash.Prefix, copyPrefix + sealed.Snapshot.Prefix} {
			if !there {
				if there, err = r.exists(ctx, prefix+h.ID); err != nil {
					return nil, err
				}
			}
		}
		if !there {
			lost = append(lost, h)
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	forgotten, err := r.forgottenByLog(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(lost, func(h head) bool { return forgotten[h.ID] }), nil
}

// exists reports whether the store has a file.
func (r *Repo) exists(ctx context.Context, name string) (bool, error) {
	_, _, err := r.store.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Remember keeps in Options.StateDir what this Repo has seen since it was opened, for CheckRollback. It asks the
// storage nothing. Without StateDir it does nothing.
func (r *Repo) Remember() error {
	r.heads.mu.Lock()
	defer r.heads.mu.Unlock()
	if r.opts.StateDir == "" || r.heads.seen == nil && !r.opts.AcceptRollback {
		return nil
	}
	h := r.loadHeads()
	old, err := json.Marshal(h)
	if err != nil {
		return err
	}
	h.Secrets = r.secrets.Fingerprint()
	now := &place{Heads: r.heads.seen, Log: r.heads.log}
	if before := h.Places[r.opts.Place]; before != nil && !r.opts.AcceptRollback {
		now.Log = max(now.Log, before.Log)
		if !r.heads.all {
			now.Heads = before.Heads
			maps.Copy(now.Heads, r.heads.seen)
		}
	}
	if now.Heads == nil {
		now.Heads = map[snapshot.SourceID]head{}
	}
	h.Places[r.opts.Place] = now
	if fresh, err := json.Marshal(h); err != nil || string(fresh) == string(old) {
		return err
	}
	if err := r.saveHeads(h); err != nil {
		return fmt.Errorf("remember what was seen: %w", err)
	}
	return nil
}

// letGo notes that snapshots are about to be forgotten, so that a run which is cut off is not taken for a rollback.
func (r *Repo) letGo(all []*Snapshot, leaving map[SnapshotID]bool) {
	r.heads.mu.Lock()
	complete := r.heads.all
	r.heads.mu.Unlock()
	if complete {
		r.heads.leave(all, leaving)
	}
	if r.opts.StateDir == "" {
		return
	}
	h := r.loadHeads()
	p, changed := h.Places[r.opts.Place], false
	if p == nil {
		return
	}
	for source, was := range p.Heads {
		if id, err := pack.ParseID(was.ID); err == nil && leaving[id] && !was.Leaving {
			was.Leaving, changed = true, true
			p.Heads[source] = was
		}
	}
	if !changed {
		return
	}
	if err := r.saveHeads(h); err != nil {
		r.log.Warn("what is about to be forgotten cannot be noted on this machine", "error", err)
	}
}
