package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/snapkeep/snap/internal/snapshot"
)

// ErrSameRepository says that a repository was to be copied to itself.
var ErrSameRepository = errors.New("this is the same repository")

// CopyOptions say how snapshots are copied.
type CopyOptions struct {
	// DryRun tells what would be copied and writes nothing.
	DryRun bool
	// Readers is how many large files are read at a time, at most 256; 0 or less means 2.
	Readers  int
	Progress *Progress // counted up while the copy runs, if not nil
	// Copied, if not nil, is told of each snapshot that was looked at, with its copy, which is nil in a dry run. skipped says that
	// the copy was there already.
	Copied func(s, made *Snapshot, skipped bool)
}

// CopyResult tells what a copy did.
type CopyResult struct {
	Copied  int
	Skipped int // there already, or in the trash
	// Failed are snapshots that could not be read, or not wholly. Of them there is no copy.
	Failed []CopyFailure
	// Added are the bytes of new chunks, Stored those of their segments.
	Added, Stored int64
}

// CopyFailure is a snapshot that was not copied.
type CopyFailure struct {
	Snapshot *Snapshot
	Err      error
}

// Copy copies snapshots of another repository into this one, oldest first, and seals them with the keys of this one. A copy
// has source, host, paths, times, tags, marks and pin of the snapshot; its sequence is the next one of that source in this
// repository. Where both repositories cut files alike large files keep their cuts, else they are cut anew. What is
// copied already is skipped; what a copy that was cut off has stored is found again. A snapshot that cannot be read wholly is not copied; the
// others are.
func (r *Repo) Copy(ctx context.Context, from *Repo, list []*Snapshot, o CopyOptions) (*CopyResult, error) {
	defer r.use()()
	defer from.use()()
	if from.config.ID == r.config.ID {
		return nil, fmt.Errorf("copy: %w: see replicate", ErrSameRepository)
	}
	if from.Role() != RoleFull {
		return nil, fmt.Errorf("copy: other repository: %w", ErrCannotReadData)
	}
	there, err := r.copies(ctx)
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	list = slices.Clone(list)
	snapshot.Sort(list)
	result := &CopyResult{}
	for _, s := range list {
		if there[s.ID.String()] || there[s.Original] {
			result.Skipped++
			o.tell(s, nil, true)
			continue
		}
		if err := from.WarmUp(ctx, s, ""); err != nil {
			return result, fmt.Errorf("copy snapshot %s: %w", short(s.ID), err)
		}
		made, err := r.copyOne(ctx, from, s, o, result)
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		if failed := (*copyReadError)(nil); errors.As(err, &failed) {
			result.Failed = append(result.Failed, CopyFailure{s, failed.err})
			continue
		}
		if err != nil {
			return result, fmt.Errorf("copy snapshot %s: %w", short(s.ID), err)
		}
		result.Copied++
		o.tell(s, made, false)
	}
	return result, nil
}

func (o *CopyOptions) tell(s, made *Snapshot, skipped bool) {
	if o.Copied != nil {
		o.Copied(s, made, skipped)
	}
}

// copyReadError is an error of the repository that is copied from.
type copyReadError struct{ err error }

func (e *copyReadError) Error() string { return e.err.Error() }
func (e *copyReadError) Unwrap() error { return e.err }

// copies returns the ids of all snapshots that are here, and of those that they are copies of. What was forgotten and can be brought back is
// here: to copy it again would undo that.
func (r *Repo) copies(ctx context.Context) (map[string]bool, error) {
	all, err := r.allSnapshots(ctx)
	if err != nil {
		return nil, err
	}
	trash, err := r.Trash(ctx, Filter{})
	if err != nil {
		return nil, err
	}
	for _, t := range trash {
		all = append(all, t.Snapshot)
	}
	there := make(map[string]bool, 2*len(all))
	for _, s := range all {
		there[s.ID.String()] = true
		if s.Original != "" {
			there[s.Original] = true
		}
	}
	return there, nil
}

// copyOne copies a snapshot. The error is a copyReadError if it cannot be read.
func (r *Repo) copyOne(ctx context.Context, from *Repo, s *Snapshot, o CopyOptions, result *CopyResult) (*Snapshot, error) {
	src := &treeSource{from: from, of: s, whole: r.cutsLike(from)}
	made, err := r.Backup(ctx, BackupOptions{Source: src, SourceName: string(s.SourceName), Host: string(s.Host), User: string(s.User), UID: s.UID, GID: s.GID,
		Tags: s.Tags, Parts: s.Parts, Program: s.Program, Time: s.Time, AllowEmpty: true, DryRun: o.DryRun, Readers: o.Readers, Progress: o.Progress,
		Check: func(copied, _ *Snapshot) error {
			if err := src.failure(); err != nil {
				return &copyReadError{err}
			}
			takeOver(copied, s)
			return nil
		}})
	if failure := src.failure(); failure != nil && err == nil {
		return nil, &copyReadError{failure} // of a dry run
	} else if failure != nil {
		return nil, &copyReadError{errors.Join(failure, unlessSame(err, failure))}
	}
	if err != nil {
		return nil, err
	}
	result.Added += made.Summary.DataAdded
	result.Stored += made.Summary.DataAddedPacked
	if made.Snapshot != nil && (s.Pinned || s.Note != "") {
		err = r.label(ctx, made.Snapshot, func(l *snapshot.Label) { l.Pin, l.Note = s.Pinned, s.Note })
	}
	return made.Snapshot, err
}

// unlessSame returns err unless it only passes failure on.
func unlessSame(err, failure error) error {
	if errors.Is(err, failure) {
		return nil
	}
	return err
}

// takeOver makes the record of a copy say what that of the snapshot does. What it says of this repository stays: the place in
// the history, the tree, the index files and prune records.
func takeOver(made, s *Snapshot) {
	made.End, made.Paths, made.Excludes, made.Marks, made.Why = s.End, s.Paths, s.Excludes, s.Marks, s.Why
	made.Source = s.Source
	if made.Original = s.Original; made.Original == "" {
		made.Original = s.ID.String()
	}
	if s.Summary != nil {
		summary := *s.Summary
		summary.DataChunks, summary.TreeChunks = made.Summary.DataChunks, made.Summary.TreeChunks
		summary.DataAdded, summary.DataAddedPacked = made.Summary.DataAdded, made.Summary.DataAddedPacked
		made.Summary = &summary
	}
}

// cutsLike reports whether both repositories cut all files in the same places.
func (r *Repo) cutsLike(other *Repo) bool {
	ours, theirs := r.secrets.Chunkers(), other.secrets.Chunkers()
	for class, c := range ours {
		if theirs[class] != c {
			return false
		}
	}
	return r.secrets.Polynomial() == other.secrets.Polynomial()
}
