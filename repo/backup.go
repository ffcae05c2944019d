package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Names of what a Source is made of; outside implementations use them too.
type (
	// Source is where the data of a backup comes from. Package sourcetest tests one.
	Source = source.Source
	// Dir is an open directory of a Source.
	Dir = source.Dir
	// File is an open file of a Source.
	File = source.File
	// Region is a part of a File.
	Region = source.Region
	// Stat is what a look at a file tells.
	Stat = tree.Stat
	// Entry is everything that is kept of a file.
	Entry = tree.Entry
	// Progress counts what a running backup has done.
	Progress = backup.Progress
	// Item tells of one file of a running backup.
	Item = backup.Item
	// Problem tells of what could not be read.
	Problem = backup.Problem
	// ItemAction says what became of a file.
	ItemAction = backup.Action
)

// The actions of an Item.
const (
	ItemNew       = backup.ActionNew
	ItemModified  = backup.ActionModified
	ItemUnchanged = backup.ActionUnchanged
	ItemSilent    = backup.ActionSilent // content changed while nothing else did: Reread chose the file
	ItemReread    = backup.ActionReread // unchanged: Reread wanted to know, or it had changed just before it was saved
)

// BackupOptions say what to save and what to write into the snapshot record.
type BackupOptions struct {
	Source Source // required

	// SourceName names the history that the snapshot belongs to: retention and the
	// choice of the parent go by it. Required.
	SourceName string
	Host       string
	User       string
	UID, GID   uint32
	Paths      []string // what was backed up, for people and filters
	Excludes   []string
	Tags       []string
	Parts      []Part
	Origin     *Origin // of a pull; copied
	Program    string
	Time       time.Time // of the snapshot, its year from 0 to 9999; zero means now

	// Parent is the snapshot whose unchanged files are taken over; nil means the newest
	// one of the same source.
	Parent *Snapshot
	// ChooseParent, if not nil, gives Parent when the backup begins. It is told of all snapshots that there are then, oldest first,
	// and of those that cannot be read. An error means that no snapshot is made.
	ChooseParent func(all []*Snapshot, unread error) (*Snapshot, error)
	// Force reads all files, whatever the parent says.
	Force bool
	// Reread, if not nil, chooses files that are read again though they look unchanged, to compare them: Item tells of
	// one whose content has changed silently.
	Reread func(path string) bool
	// SkipIfUnchanged makes no snapshot if its tree would be that of the parent.
	SkipIfUnchanged bool
	// AllowEmpty permits a snapshot of a source in which no file was found, and a directory could not be read that may have some; without it
	// the error is ErrEmpty. Of a source without files there is a snapshot in any case, and a file that cannot be read is in it without content.
	AllowEmpty bool
	// DryRun reads everything and writes nothing.
	DryRun bool
	// Readers is how many large files are read at a time, at most 256; 0 or less means 2.
	Readers int
	// Granularity is how far apart two changes of a file must be to have different
	// change times; 0 means 2 s.
	Granularity time.Duration

	Progress *Progress // counted up while the backup runs, if not nil
	// Item, if not nil, is told of each file and folder, from one goroutine: of all entries of a folder, ordered by name, then of those of
	// its first folder, and so on. The backup waits while it runs.
	Item    func(Item)
	Problem func(Problem) // told of each problem, from several goroutines at once
	// Check, if not nil, is asked before the snapshot is committed and may change its record, for
	// instance mark it. An error means that no snapshot is made. A dry run asks as well.
	Check func(s *Snapshot, parent *Snapshot) error
}

// BackupResult tells what a backup did.
type BackupResult struct {
	// Snapshot is what was committed; nil for a dry run, or if it was skipped because
	// nothing had changed.
	Snapshot *Snapshot
	// Parent is the snapshot that unchanged files were taken from, nil for none.
	Parent  *Snapshot
	Summary Summary
	// Partial says that something could not be read.
	Partial  bool
	Duration time.Duration
}

// Backup saves what the source holds as a snapshot. Files that cannot be read are
// reported as problems and make the result partial; an error means that no snapshot was
// made. What an interrupted backup has written is used by the next.
func (r *Repo) Backup(ctx context.Context, o BackupOptions) (*BackupResult, error) {
	defer r.use()()
	if o.SourceName == "" {
		return nil, errors.New("backup: no source name")
	}
	if o.Source == nil {
		return nil, errors.New("backup: no source")
	}
	if y := o.Time.UTC().Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("backup: year %d cannot be the time of a snapshot", y)
	}
	begin := r.now()
	if !o.DryRun {
		defer r.enterBackup(ctx)()
	}
	id := snapshot.SourceIDOf(o.SourceName)
	all, previous, parent, err := r.before(ctx, &o, id)
	if err != nil {
		return nil, err
	}
	w, err := r.beginBackup(ctx, parent)
	if err != nil {
		return nil, err
	}
	checkParts, err := r.checkParts(ctx, w.packs)
	if err != nil {
		return nil, err
	}
	result := &BackupResult{Parent: parent}
	made, indexes, earlier, err := r.runBackup(ctx, o, w, all, checkParts, begin, result)
	if err != nil {
		return nil, err
	}
	defer func() { earlier.close(result.Snapshot != nil) }()
	s := r.newSnapshot(o, begin, made.Root, result, indexes)
	s.Source, s.Sequence = id, 1
	if previous != nil {
		s.Sequence, s.Previous = previous.Sequence+1, previous.ID.String()
	}
	if parent != nil {
		s.Parent = parent.ID.String()
	}
	result.Duration = r.now().Sub(begin)
	if o.SkipIfUnchanged && parent != nil && !o.DryRun {
		same, err := r.sameBelow(ctx, parent, s)
		if err != nil || same {
			return result, err
		}
	}
	if o.Check != nil {
		if err := o.Check(s, previous); err != nil {
			return nil, err
		}
	}
	if o.DryRun {
		return result, nil
	}
	if err := w.commit(ctx, s); err != nil {
		return nil, err
	}
	result.Snapshot = s
	return result, nil
}

// before returns all snapshots, the newest one of the source, and the one whose unchanged files are taken over, nil for none.
func (r *Repo) before(ctx context.Context, o *BackupOptions, id snapshot.SourceID) (all []*Snapshot, previous, parent *Snapshot, err error) {
	all, unread := r.shownSnapshots(ctx)
	if unread != nil {
		r.log.Warn("some snapshots cannot be read", "error", unread)
	}
	previous, parent = newest(all, id), o.Parent
	if o.ChooseParent != nil {
		if parent, err = o.ChooseParent(all, unread); err != nil {
			return nil, nil, nil, err
		}
	}
	if parent == nil {
		parent = previous
	}
	if o.Force {
		parent = nil
	}
	return all, previous, parent, nil
}

// sameBelow reports whether two snapshots have the same files, the folders that only lead to
// what was backed up aside.
func (r *Repo) sameBelow(ctx context.Context, a, b *Snapshot) (bool, error) {
	rootA, err := a.RootID()
	if err != nil {
		return false, err
	}
	rootB, err := b.RootID()
	if err != nil {
		return false, err
	}
	same := true
	err = tree.Compare(ctx, r.read, rootA, rootB, "", func(p tree.EntryPair) error {
		if p.A == nil || p.B == nil {
			same = false
			return nil
		}
		if c, differs := changeOf(p); differs && !leadsTo(c.Path, b.Paths) {
			same = false
		}
		return nil
	})
	return same, err
}

// leadsTo reports whether path is a folder above one of the paths.
func leadsTo(path string, paths []snapshot.Bytes) bool {
	for _, p := range paths {
		if below := strings.Trim(string(p), "/"); below != path && tree.IsWithin(below, path) {
			return true
		}
	}
	return false
}

// newest returns the snapshot of the source that came last.
func newest(all []*Snapshot, id snapshot.SourceID) (found *Snapshot) {
	for _, s := range all {
		if s.Source == id && (found == nil || s.Sequence >= found.Sequence) {
			found = s
		}
	}
	return found
}

// runBackup runs the engine and makes what it wrote durable.
func (r *Repo) runBackup(ctx context.Context, o BackupOptions, run *writing, all []*Snapshot, checkParts bool, begin time.Time, result *BackupResult) (*backup.Result, []pack.ID, *past, error) {
	files, database, err := r.cutters()
	if err != nil {
		return nil, nil, nil, err
	}
	var root pack.ChunkID
	if run.parent != nil {
		if root, err = run.parent.RootID(); err != nil {
			return nil, nil, nil, err
		}
	}
	store, keys := r.store, r.keys
	if o.DryRun {
		store = discard{r.store}
		keys.NewContent = func(ctx context.Context) (*seal.Key, error) { return r.storeContentKey(ctx, store) }
	}
	shared, err := r.sharedBuffers()
	if err != nil {
		return nil, nil, nil, err
	}
	writerOptions := r.writerOptions()
	writerOptions.Shared, writerOptions.Indexed, writerOptions.DryRun = shared.chunks, r.unlisted.stored, o.DryRun
	writerOptions.Replaces = !root.IsZero()
	w, err := chunks.NewWriter(ctx, store, r.set, keys, writerOptions)
	if err != nil {
		return nil, nil, nil, err
	}
	earlier, err := r.newPast(snapshot.SourceIDOf(o.SourceName), all, root, w)
	if err != nil {
		return nil, nil, nil, errors.Join(err, w.Abandon(context.WithoutCancel(ctx)))
	}
	made, err := backup.Run(ctx, backup.Options{Source: o.Source, Writer: w, Load: r.load, Past: earlier, Parent: root, CheckParts: checkParts, Files: files, Database: database,
		Reread: o.Reread, Start: begin, Granularity: o.Granularity, Readers: o.Readers, MaxDirs: maxDirs(), Blocks: shared.blocks, Progress: o.Progress, Item: o.Item, Problem: o.Problem})
	if err == nil && made.Summary.Files == 0 && made.Summary.Unreadable > 0 && !o.AllowEmpty {
		err = backup.ErrNothingRead
	}
	if err != nil {
		// What is durable is of use to the next run, even if this one was cancelled.
		if abandonErr := w.Abandon(context.WithoutCancel(ctx)); abandonErr != nil {
			r.log.Warn("finished packs are not indexed", "error", abandonErr)
		}
		earlier.close(false)
		return nil, nil, nil, fmt.Errorf("backup: %w", overtaken(err))
	}
	if made.ParentDamaged != nil {
		r.log.Warn("the parent's tree cannot be read, all files were read", "error", made.ParentDamaged)
	}
	indexes, err := w.Finish(ctx)
	if err != nil {
		earlier.close(false)
		return nil, nil, nil, fmt.Errorf("backup: %w", overtaken(err))
	}
	run.rely(w.Relied()...)
	result.Summary = summaryOf(made.Summary, w.Stats())
	result.Partial = made.Summary.Unreadable > 0
	return made, indexes, earlier, nil
}

func (r *Repo) writerOptions() chunks.Options {
	o := chunks.Options{PackSize: r.opts.PackSize, Compression: compress.Level(r.opts.Compression), SkipVerify: r.opts.SkipVerify, Now: r.opts.Now}
	if clock, ok := able[storageClock](r.store); ok {
		o.StorageTime, o.Noted = clock.StorageTime, r.isNoted
	}
	return o
}

// storageClock is a Store whose answers tell the time by the clock that stamps its files.
type storageClock interface {
	// StorageTime returns the time of the latest answer, zero before the first.
	StorageTime() time.Time
}

// buffers are what backups have in common that run one after the other, or side by side.
type buffers struct {
	chunks *chunks.Shared
	blocks *backup.Blocks
}

// sharedBuffers returns the buffers of backups. They take some 100 MB at most; a Repo that stays open for longer than a run does not keep
// them.
func (r *Repo) sharedBuffers() (buffers, error) {
	if !r.opts.OneRun {
		return buffers{}, nil
	}
	r.buffersOnce.Do(func() {
		r.buffers.blocks = backup.NewBlocks(0)
		r.buffers.chunks, r.buffersErr = chunks.NewShared(r.keys.ChunkIDs, compress.Level(r.opts.Compression))
	})
	return r.buffers, r.buffersErr
}

// cutters returns the chunkers of the repository's classes. Proving that the polynomial is one takes milliseconds, so that they
// are made once.
func (r *Repo) cutters() (files, database *chunker.Cutter, err error) {
	r.cuttersOnce.Do(func() {
		if r.files, r.cuttersErr = chunker.New(r.chunkerParams(keyring.ClassFiles)); r.cuttersErr == nil {
			r.database, r.cuttersErr = r.files.Like(r.chunkerParams(keyring.ClassDatabase))
		}
	})
	return r.files, r.database, r.cuttersErr
}

// chunkerParams returns the parameters of a class, unproven.
func (r *Repo) chunkerParams(class string) chunker.Params {
	c := r.secrets.Chunkers()[class]
	return chunker.Params{Algorithm: chunker.Algorithm(c.Algorithm), Polynomial: chunker.Polynomial(r.secrets.Polynomial()),
		MinSize: c.Min, MaxSize: c.Max, AverageBits: c.Bits}
}

// ChunkerParams are what an agent cuts the files of a source by: package chunker has the meaning.
type ChunkerParams = chunker.Params

// SourceChunkers returns the parameters of the classes files and database for the machine that is the source of that
// name. Their polynomial is derived for that source alone, so that no secret of the repository leaves this machine:
// files up to the smallest chunk deduplicate with those of all sources, larger ones within the source.
func (r *Repo) SourceChunkers(name string) (files, database ChunkerParams, err error) {
	poly, err := chunker.RandomPolynomial(r.secrets.SourceStream(snapshot.SourceIDOf(name)))
	if err != nil {
		return files, database, err
	}
	ownFiles, ownDatabase, err := r.cutters()
	if err != nil {
		return files, database, err
	}
	files, database = ownFiles.Params(), ownDatabase.Params()
	files.Polynomial, database.Polynomial = poly, poly
	return files, database, nil
}

func summaryOf(s backup.Summary, w chunks.Stats) snapshot.Summary {
	return snapshot.Summary{FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
		DirsNew: s.DirsNew, DirsChanged: s.DirsChanged, DirsUnmodified: s.DirsUnmodified,
		DataChunks: w.DataChunks, TreeChunks: w.TreeChunks, DataAdded: w.Bytes, DataAddedPacked: w.StoredBytes,
		Files: s.Files, Bytes: s.Bytes, Unreadable: s.Unreadable, ChangedWhenRead: s.ChangedWhileRead}
}

func (r *Repo) newSnapshot(o BackupOptions, begin time.Time, root pack.ChunkID, result *BackupResult, indexes []pack.ID) *Snapshot {
	s := &Snapshot{Time: o.Time, End: r.now(), SourceName: snapshot.Bytes(o.SourceName), Host: snapshot.Bytes(o.Host), User: snapshot.Bytes(o.User),
		UID: o.UID, GID: o.GID, Tags: o.Tags, Root: root.String(), Parts: o.Parts, Program: o.Program, Summary: &result.Summary}
	if o.Origin != nil {
		origin := *o.Origin // what the caller has may be a part of a source, which would be kept with the snapshot
		s.Origin = &origin
	}
	if s.Time.IsZero() {
		s.Time = begin
	}
	for _, p := range o.Paths {
		s.Paths = append(s.Paths, snapshot.Bytes(p))
	}
	for _, e := range o.Excludes {
		s.Excludes = append(s.Excludes, snapshot.Bytes(e))
	}
	for _, id := range indexes {
		s.Index = append(s.Index, id.String())
	}
	if result.Partial {
		s.Marks = append(s.Marks, snapshot.MarkPartial)
	}
	return s
}
