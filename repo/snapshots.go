package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
)

// Snapshot is a snapshot record. It must not be changed.
type Snapshot = snapshot.Snapshot

// SnapshotID names a snapshot.
type SnapshotID = pack.ID

// Filter selects snapshots. The zero Filter selects all.
type Filter struct {
	Hosts   []string   // any of these
	Tags    [][]string // all of any of these lists; an empty list stands for snapshots without tags
	Paths   []string   // all of these
	Sources []string   // any of these names, or source ids
	Before  time.Time  // not later than; zero means no limit
}

// Match reports whether the filter selects s.
func (f *Filter) Match(s *Snapshot) bool {
	return f.matchHost(s) && f.matchTags(s) && f.matchPaths(s) && f.matchSource(s) && (f.Before.IsZero() || !s.Time.After(f.Before))
}

func (f *Filter) matchHost(s *Snapshot) bool {
	for _, h := range f.Hosts {
		if h == string(s.Host) {
			return true
		}
	}
	return len(f.Hosts) == 0
}

func (f *Filter) matchTags(s *Snapshot) bool {
	for _, list := range f.Tags {
		if len(list) == 0 && len(s.Tags) > 0 {
			continue
		}
		if s.HasTags(list) {
			return true
		}
	}
	return len(f.Tags) == 0
}

func (f *Filter) matchPaths(s *Snapshot) bool {
	for _, want := range f.Paths {
		found := false
		for _, p := range s.Paths {
			found = found || string(p) == want
		}
		if !found {
			return false
		}
	}
	return true
}

func (f *Filter) matchSource(s *Snapshot) bool {
	for _, want := range f.Sources {
		if want == string(s.SourceName) || want == s.Source.String() {
			return true
		}
	}
	return len(f.Sources) == 0
}

// Snapshots returns all snapshots that the filter selects, oldest first. Records that
// cannot be read are reported in the error, beside those that can.
func (r *Repo) Snapshots(ctx context.Context, f Filter) ([]*Snapshot, error) {
	all, err := r.shownSnapshots(ctx)
	return matching(all, f), err
}

// matching returns those of the snapshots that a filter selects.
func matching(all []*Snapshot, f Filter) (out []*Snapshot) {
	for _, s := range all {
		if f.Match(s) {
			out = append(out, s)
		}
	}
	return out
}

// allSnapshots loads the records of all snapshots from the store: what decides which of them may go must not count one that is gone,
// though a listing that is late shows it.
func (r *Repo) allSnapshots(ctx context.Context) ([]*Snapshot, error) {
	return r.snapshotsOf(ctx, sealed.Snapshot, r.loadSnapshot)
}

// snapshotsOfSome is allSnapshots where it only counts which snapshots of some sources are there: a record that was loaded before tells of which
// source it is, and is not loaded again unless that counts. What a run forgets of each of its sources costs no look at those of the others.
func (r *Repo) snapshotsOfSome(ctx context.Context, counts func(s *Snapshot) bool) ([]*Snapshot, error) {
	return r.snapshotsOf(ctx, sealed.Snapshot, func(ctx context.Context, kind sealed.Kind, id pack.ID) (*Snapshot, error) {
		if s := r.decoded.snapshot(id); s != nil && !counts(s) {
			return s, nil
		}
		return r.loadSnapshot(ctx, kind, id)
	})
}

// snapshotsBeside is allSnapshots where it only counts which snapshots there are of the sources of some.
func (r *Repo) snapshotsBeside(ctx context.Context, some []SnapshotID) ([]*Snapshot, error) {
	sources := map[snapshot.SourceID]bool{}
	for _, id := range some {
		s := r.decoded.snapshot(id)
		if s == nil {
			return r.allSnapshots(ctx)
		}
		sources[s.Source] = true
	}
	return r.snapshotsOfSome(ctx, func(s *Snapshot) bool { return sources[s.Source] })
}

// shownSnapshots is allSnapshots for those who look or add. Records that are kept are not loaded from the store.
func (r *Repo) shownSnapshots(ctx context.Context) ([]*Snapshot, error) {
	return r.snapshotsOf(ctx, sealed.Snapshot, r.listedSnapshot)
}

// snapshotsOf loads the records of snapshots, or of the trash, and their labels. Each is loaded with load.
func (r *Repo) snapshotsOf(ctx context.Context, kind sealed.Kind, load loadSnapshotFunc) ([]*Snapshot, error) {
	from, err := r.listSnapshots(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	ids, err := r.listIDs(ctx, from, kind)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	if r.kept != nil {
		r.dropKept(kind.Prefix, isOneOf(ids))
	}
	type result struct {
		s   *Snapshot
		err error
	}
	results, err := loadEach(ctx, ids, func(ctx context.Context, id pack.ID) (result, error) {
		s, err := load(ctx, kind, id)
		return result{s, err}, ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("load snapshots: %w", err)
	}
	var out []*Snapshot
	var errs []error
	for _, res := range results {
		switch {
		case res.err == nil:
			res.s.Trashed = kind == sealed.Trash
			out = append(out, res.s)
		case errors.Is(res.err, fs.ErrNotExist): // forgotten meanwhile
		default:
			errs = append(errs, res.err)
		}
	}
	labels, err := r.labelsOf(ctx, from)
	if err != nil {
		errs = append(errs, err)
	}
	if kind == sealed.Snapshot && len(errs) == 0 {
		r.heads.leave(out, nil)
	}
	snapshot.Apply(out, labels)
	snapshot.Sort(out)
	return out, errors.Join(errs...)
}

// loadSnapshotFunc loads a snapshot that a listing shows.
type loadSnapshotFunc func(ctx context.Context, kind sealed.Kind, id pack.ID) (*Snapshot, error)

// listedSnapshot loads a snapshot that a listing shows, from what is kept if it can. With OneRun one that was loaded before is not loaded
// again.
func (r *Repo) listedSnapshot(ctx context.Context, kind sealed.Kind, id pack.ID) (*Snapshot, error) {
	if s := r.decoded.snapshot(id); s != nil {
		return s, nil
	}
	body, err := r.nearRecords.Load(ctx, kind, id)
	s, err := decodeSnapshot(id, body, err)
	if err == nil && r.opts.OneRun {
		r.decoded.keepSnapshot(s, len(body))
	}
	return s, err
}

// listSnapshots lists the records of a kind and the labels. The first time in a run the listing of Open will do.
func (r *Repo) listSnapshots(ctx context.Context, kind sealed.Kind) (lister, error) {
	if kind == sealed.Snapshot {
		if from := r.opened.Swap(nil); from != nil {
			return from, nil
		}
	}
	return listOnce(ctx, r.store, kind.Prefix, sealed.Label.Prefix)
}

func (r *Repo) loadSnapshot(ctx context.Context, kind sealed.Kind, id pack.ID) (*Snapshot, error) {
	body, err := r.records.Load(ctx, kind, id)
	return decodeSnapshot(id, body, err)
}

// decodeSnapshot decodes the body of a record, or adds the snapshot to the error of loading it.
func decodeSnapshot(id pack.ID, body []byte, err error) (*Snapshot, error) {
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", short(id), err)
	}
	s, err := snapshot.Decode(id, body)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", short(id), recordError(err))
	}
	return s, nil
}

func (r *Repo) labels(ctx context.Context) ([]*snapshot.Label, error) {
	return r.labelsOf(ctx, r.store)
}

func (r *Repo) labelsOf(ctx context.Context, from lister) ([]*snapshot.Label, error) {
	ids, err := r.listIDs(ctx, from, sealed.Label)
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	var out []*snapshot.Label
	var errs []error
	for _, id := range ids {
		l, err := r.listedLabel(ctx, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("label %s: %w", short(id), err))
			continue
		}
		out = append(out, l)
	}
	return out, errors.Join(errs...)
}

// listedLabel loads a label that a listing shows. With OneRun one that was loaded before is not loaded again.
func (r *Repo) listedLabel(ctx context.Context, id pack.ID) (*snapshot.Label, error) {
	if l := r.decoded.label(id); l != nil {
		return l, nil
	}
	body, err := r.nearRecords.Load(ctx, sealed.Label, id)
	if err != nil {
		return nil, err
	}
	l, err := decodeLabel(id, body)
	if err == nil && r.opts.OneRun {
		r.decoded.keepLabel(l, len(body))
	}
	return l, err
}

// decodeLabel decodes the body of a label.
func decodeLabel(id pack.ID, body []byte) (*snapshot.Label, error) {
	l, err := snapshot.DecodeLabel(id, body)
	return l, recordError(err)
}

// recordError adds to an error of package snapshot what it says of the record: ErrDamaged or ErrNewer.
func recordError(err error) error {
	switch {
	case errors.Is(err, snapshot.ErrCorrupt):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, snapshot.ErrNewer):
		return fmt.Errorf("%w: %w", ErrNewer, err)
	}
	return err
}

func short(id pack.ID) string { return id.String()[:8] }

// Find returns the snapshot that a word stands for among those that the filter selects:
// an id or at least its first four digits, latest, latest~N (the N-th before it), or a date
// (2006-01-02, also with a time of day, in local time): the newest snapshot until then. The
// error wraps ErrNoSnapshot or ErrAmbiguous. Where the record of a snapshot cannot be read, which may be the one that is meant, or newer, that is the
// error.
func (r *Repo) Find(ctx context.Context, word string, f Filter) (*Snapshot, error) {
	all, unread := r.shownSnapshots(ctx)
	if unread != nil && (len(all) == 0 || ctx.Err() != nil) {
		return nil, unread
	}
	s, err := find(all, word, f)
	if unread == nil || s != nil && isIDOf(s, word) {
		return s, err
	}
	if doubt := r.doubt(ctx, all, s, word, unread); doubt != nil {
		return nil, doubt
	}
	return s, err
}

// doubt returns an error that wraps unread if a snapshot that is not in all, because its record could not be read, may be what a word stands for,
// where s was found. What was stored before s is not newer.
func (r *Repo) doubt(ctx context.Context, all []*Snapshot, s *Snapshot, word string, unread error) error {
	times, err := r.listTimes(ctx, r.store, sealed.Snapshot.Prefix)
	if err != nil {
		return err
	}
	var since time.Time
	if s != nil {
		since = times[s.ID]
	}
	for _, known := range all {
		delete(times, known.ID)
	}
	_, isDate := parseDate(word)
	_, isLatest := parseLatest(word)
	for id, at := range times {
		if strings.HasPrefix(id.String(), word) {
			return unread
		}
		if (isLatest || isDate) && !at.Before(since) {
			return fmt.Errorf("%q: a snapshot that may be meant cannot be read; name one by its id: %w", word, unread)
		}
	}
	r.log.Warn("some snapshots cannot be read", "error", unread)
	return nil
}

func isIDOf(s *Snapshot, word string) bool { return strings.HasPrefix(s.ID.String(), word) }

// find returns what Find does of the snapshots that can be read.
func find(all []*Snapshot, word string, f Filter) (*Snapshot, error) {
	if s, err := findByID(all, word); s != nil || err != nil {
		return s, err
	}
	var some []*Snapshot
	for _, s := range all {
		if f.Match(s) {
			some = append(some, s)
		}
	}
	back, ok := parseLatest(word)
	if until, isDate := parseDate(word); isDate {
		ok = true
		n := 0
		for _, s := range some {
			if !s.Time.After(until) {
				n++
			}
		}
		some = some[:n]
	}
	if !ok {
		return nil, fmt.Errorf("%q: %w", word, ErrNoSnapshot)
	}
	if back >= len(some) {
		return nil, fmt.Errorf("%q: %w: %d are selected", word, ErrNoSnapshot, len(some))
	}
	return some[len(some)-1-back], nil
}

func findByID(all []*Snapshot, word string) (*Snapshot, error) {
	if len(word) < 4 || strings.Trim(word, "0123456789abcdef") != "" {
		return nil, nil
	}
	var found *Snapshot
	for _, s := range all {
		if strings.HasPrefix(s.ID.String(), word) {
			if found != nil {
				return nil, fmt.Errorf("%q: %w", word, ErrAmbiguous)
			}
			found = s
		}
	}
	return found, nil
}

func parseLatest(word string) (back int, ok bool) {
	if word == "latest" {
		return 0, true
	}
	rest, ok := strings.CutPrefix(word, "latest~")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && n >= 0
}

// parseDate returns the end of the second, minute or day that word names.
func parseDate(word string) (time.Time, bool) {
	for layout, span := range map[string]time.Duration{
		"2006-01-02": 0, "2006-01-02T15:04": time.Minute, "2006-01-02 15:04": time.Minute,
		"2006-01-02T15:04:05": time.Second, "2006-01-02 15:04:05": time.Second,
	} {
		t, err := time.ParseInLocation(layout, word, time.Local)
		if err != nil {
			continue
		}
		if span == 0 {
			return t.AddDate(0, 0, 1).Add(-1), true
		}
		return t.Add(span - 1), true
	}
	if t, err := time.Parse(time.RFC3339, word); err == nil {
		return t.Add(time.Second - 1), true
	}
	return time.Time{}, false
}

// Tag replaces, adds and removes tags of a snapshot: set, if not nil, replaces all first. It goes by the tags that the snapshot has in
// the repository, which s does not show that was listed before they changed; s stays as it is. Empty tags and second ones are left
// out.
func (r *Repo) Tag(ctx context.Context, s *Snapshot, set, add, remove []string) error {
	return r.label(ctx, s, func(l *snapshot.Label) {
		if set != nil {
			l.Tags = set
		}
		l.Tags = changedTags(l.Tags, add, remove)
	})
}

// changedTags returns tags with some added and without others, each once.
func changedTags(tags, add, remove []string) (out []string) {
	for _, t := range slices.Concat(tags, add) {
		if t != "" && !slices.Contains(remove, t) && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// Pin keeps a snapshot from being forgotten by a rule, or no longer. s stays as it is.
func (r *Repo) Pin(ctx context.Context, s *Snapshot, pinned bool) error {
	return r.label(ctx, s, func(l *snapshot.Label) { l.Pin = pinned })
}

// label stores a new label for s that differs by change from the one that holds.
func (r *Repo) label(ctx context.Context, s *Snapshot, change func(*snapshot.Label)) error {
	if s == nil || s.ID.IsZero() {
		return fmt.Errorf("label: %w", ErrNoSnapshot)
	}
	r.labelMu.Lock()
	defer r.labelMu.Unlock()
	labels, err := r.labels(ctx)
	if err != nil {
		return err
	}
	l := &snapshot.Label{Snapshot: s.ID.String(), Time: r.now(), Tags: s.Tags, Pin: s.Pinned, Note: s.Note}
	var holds *snapshot.Label
	for _, other := range labels {
		if other.Snapshot == l.Snapshot && other.Wins(holds) {
			holds = other
		}
	}
	if holds != nil {
		l.Tags, l.Pin, l.Note, l.Counter = holds.Tags, holds.Pin, holds.Note, holds.Counter+1
	}
	change(l)
	body, err := l.Encode()
	if err != nil {
		return err
	}
	if _, err := r.records.Save(ctx, sealed.Label, body); err != nil {
		return fmt.Errorf("store label: %w", err)
	}
	return nil
}
