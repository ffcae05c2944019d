package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// writing is a run that will store a snapshot record. It keeps the rule by which writers and prunes need no lock
// (docs/format.md section 11.3).
type writing struct {
	r       *Repo
	parent  *Snapshot        // whose tree the new one takes parts from; nil as well when others' work was seen
	seen    map[pack.ID]bool // prune records loaded before the first chunk was looked up
	indexes map[pack.ID]bool // index files that were in use then
	relied  map[pack.ID]bool // packs that hold what this run did not store, and that not everybody sees yet
	inherit []string         // index files that the parent names
	// mustVerify makes sure of the whole tree whatever was seen.
	mustVerify bool
	began      time.Time // what others did until then is regarded
	packs      *shown    // a listing of them that is young enough to look for those that are lost; nil for none
}

// beginWriting brings the index up to date, before the first chunk is looked up.
func (r *Repo) beginWriting(ctx context.Context) (*writing, error) {
	return r.beginWritingFrom(ctx, nil)
}

// beginBackup is beginWriting of a backup that takes parts from parent, which may be nil. The first time in a run the listing of Open will do, as far
// as it goes.
func (r *Repo) beginBackup(ctx context.Context, parent *Snapshot) (*writing, error) {
	from := r.fresh.Swap(nil)
	if from != nil && time.Since(from.at) > freshTime {
		from = nil
	}
	early := from
	if from != nil && !(from.covers(sealed.Index.Prefix, sealed.Prune.Prefix) && from.showsIndexes(parent)) {
		early = nil
	}
	w, err := r.beginWritingFrom(ctx, early)
	if err != nil {
		return nil, err
	}
	if from != nil && from.covers("data/", "meta/") {
		w.packs = from
	}
	return w, w.takeFrom(ctx, parent)
}

// beginWritingFrom is beginWriting with a listing of index files and prune records; nil makes one.
func (r *Repo) beginWritingFrom(ctx context.Context, early *shown) (*writing, error) {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	sync, began := r.syncIndexLocked, time.Now()
	if early != nil && !r.indexLoaded { // a newer one is not given up for it: others of this run may rely on what it showed
		sync, began = func(ctx context.Context) error { return r.syncIndexFrom(ctx, early) }, early.at
	}
	if err := sync(ctx); err != nil {
		return nil, err
	}
	return &writing{r: r, seen: r.pruneNames, indexes: r.indexNames, began: began, relied: map[pack.ID]bool{}}, nil
}

// freshTime is how old the listing that Open made may be for the first backup, and what others did for a run that stores a record. What a listing does
// not show is stored once more at worst: it is looked at again when the record stands in pending/.
const freshTime = time.Minute

// showsIndexes reports whether a listing shows all index files that a snapshot names. The listing may have come by the index files before it came by
// the snapshot. nil names none.
func (l *shown) showsIndexes(s *Snapshot) bool {
	if s == nil {
		return true
	}
	for _, name := range s.Index {
		name = sealed.Index.Prefix + name
		if _, there := slices.BinarySearchFunc(l.files, name, func(f shownFile, name string) int { return strings.Compare(f.name, name) }); !there {
			return false
		}
	}
	return true
}

// takeFrom makes the tree of parent one that the new snapshot takes parts from. A part may be in packs that only index files name which no listing
// shows yet.
func (w *writing) takeFrom(ctx context.Context, parent *Snapshot) error {
	w.parent = parent
	if parent == nil {
		return nil
	}
	w.inherit = parent.Index
	_, err := w.r.addNamedIndexes(ctx, map[pack.ID]*Snapshot{parent.ID: parent})
	return err
}

// commit stores the record of a new snapshot of which everything else is durable.
func (w *writing) commit(ctx context.Context, s *Snapshot) error {
	root, err := s.RootID()
	if err != nil {
		return err
	}
	if err := w.readBack(ctx, root, s.Index); err != nil {
		return fmt.Errorf("read back the snapshot's tree: %w", err)
	}
	// What others did is looked at once the record stands in pending/. Of a run that took long it is likely that there is something to copy, which is
	// better done before.
	if w.mustVerify || time.Since(w.began) >= freshTime {
		if err := w.secure(ctx, s); err != nil {
			return err
		}
	}
	for id := range w.seen {
		s.Prune = append(s.Prune, id.String())
	}
	slices.Sort(s.Prune)
	w.nameIndexes(s)
	body, err := s.Encode(nil)
	if err != nil {
		return err
	}
	id, file, err := w.r.records.Seal(sealed.Snapshot, body)
	if err != nil {
		return err
	}
	if back, err := w.r.records.Open(sealed.Snapshot, id, file); err != nil || !bytes.Equal(back, body) {
		return fmt.Errorf("%w: snapshot record", ErrVerify)
	}
	s.ID = id
	return w.publish(ctx, s, file)
}

// readBack reads the root of the snapshot's tree from the store, unless it is the parent's, and this run did not write it: it wrote no index file.
func (w *writing) readBack(ctx context.Context, root pack.ChunkID, wrote []string) error {
	if w.parent != nil {
		if same, err := w.parent.RootID(); err == nil && same == root && len(wrote) == 0 {
			return nil
		}
	}
	_, err := w.r.loader.Load(ctx, pack.KindTree, root)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrOvertaken, err)
	}
	return err
}

// nameIndexes adds to the index files that a snapshot names, which are this run's own, those of others without which a reader whose listing is late
// would not find all of it. They are so fresh that a listing need not show them to everybody, and
//
//   - name a pack in which this run found a chunk that it therefore did not store; or
//   - are named by the parent, whose tree was taken over in parts without a look at each chunk: by the same rule the parent names all that it needs.
//
// What is found elsewhere is in index files that everybody sees.
func (w *writing) nameIndexes(s *Snapshot) {
	names := w.r.namesOf(w.relied)
	w.r.indexMu.Lock()
	for _, word := range w.inherit {
		if name, err := pack.ParseID(word); err == nil && (w.r.indexFresh[name] || w.r.unlisted.has(name)) {
			names[name] = true
		}
	}
	w.r.indexMu.Unlock()
	own := len(s.Index)
	for name := range names {
		if word := name.String(); !slices.Contains(s.Index[:own], word) {
			s.Index = append(s.Index, word)
		}
	}
	slices.Sort(s.Index[own:])
}

// rely notes packs that hold what the snapshot needs, and that not everybody sees yet.
func (w *writing) rely(packs ...pack.ID) {
	for _, id := range packs {
		w.relied[id] = true
	}
}

// vanished reports whether a pack that this run relied on has turned out to be missing, or is in no index file any more. The lock of the index
// is held.
func (w *writing) vanished() bool {
	for id := range w.relied {
		if p, ok := w.r.set.Pack(id); !ok || p.Condemned {
			return true
		}
	}
	return false
}

// publish stores the record of a snapshot, whose bytes are file, under its name.
func (w *writing) publish(ctx context.Context, s *Snapshot, file []byte) error {
	pending, name := sealed.Pending.Prefix+s.ID.String(), sealed.Snapshot.Prefix+s.ID.String()
	// Of the same bytes, if the name is taken. What is in pending/ need not outlast a crash: this run does not, and if the storage alone has crashed,
	// it looks for the file in the end.
	if err := w.r.show(ctx, pending, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store snapshot: %w", err)
	}
	w.r.opened.Store(nil)
	w.r.planned.Store(nil) // what a plan was made of does not have it
	err := w.secure(ctx, s)
	if err == nil {
		if err = w.r.store.Create(ctx, name, bytes.NewReader(file), int64(len(file))); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		_ = w.r.drop(context.WithoutCancel(ctx), pending)
		return fmt.Errorf("store snapshot: %w", err)
	}
	after, err := listOnce(ctx, w.r.store, sealed.Pending.Prefix, sealed.Snapshot.Prefix)
	if err != nil {
		return fmt.Errorf("store snapshot: %w", err)
	}
	late, err := w.late(ctx, after, s.ID)
	if late && err == nil {
		// Somebody may have held this run for dead, and pruned without regard to it.
		w.mustVerify = true
		if err = w.secure(ctx, s); errors.Is(err, ErrOvertaken) {
			err = errors.Join(err, w.r.store.Remove(context.WithoutCancel(ctx), name))
			entry := LogEntry{What: "forget", Why: "what it needs was removed before it was stored", Final: true, Snapshots: []string{s.ID.String()}}
			err = errors.Join(err, w.r.note(context.WithoutCancel(ctx), entry))
		}
	}
	if err != nil {
		return fmt.Errorf("store snapshot: %w", err)
	}
	w.r.heads.note(s)
	w.r.dropPending(ctx, after, s.ID)
	return nil
}

// commitTime is how long after a record was stored in pending/ a writer relies on it. Prunes have regard to it for pendingLife.
const commitTime = time.Hour

// late reports whether the record in pending/ is gone, or so old, by the clock of the storage, that prunes may have had no regard to it
// before the one in snapshots/ was stored. A listing that was made after that and shows both tells when each was stored. Otherwise the store is asked: a
// listing may lag.
func (w *writing) late(ctx context.Context, from lister, id pack.ID) (bool, error) {
	if _, lists := from.(*shown); lists {
		began, err := w.r.listTimes(ctx, from, sealed.Pending.Prefix)
		if err != nil {
			return false, err
		}
		ended, err := w.r.listTimes(ctx, from, sealed.Snapshot.Prefix)
		if err != nil {
			return false, err
		}
		if !began[id].IsZero() && !ended[id].IsZero() {
			return ended[id].Sub(began[id]).Abs() >= commitTime, nil
		}
	}
	pending, name := sealed.Pending.Prefix+id.String(), sealed.Snapshot.Prefix+id.String()
	_, began, err := w.r.store.Stat(ctx, pending)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, ended, err := w.r.store.Stat(ctx, name)
	return ended.Sub(began).Abs() >= commitTime, err
}

// dropPending removes what earlier commits have left in pending/, as far as everybody sees the snapshot by now. fresh was
// stored a moment ago.
func (r *Repo) dropPending(ctx context.Context, from lister, fresh pack.ID) {
	times, err := r.listTimes(ctx, from, sealed.Pending.Prefix)
	now, ok := times[fresh]
	if err != nil || !ok {
		return // the next run or prune does it
	}
	for id, began := range times {
		if now.Sub(began) < youngPack {
			continue // and so is the snapshot, which came later
		}
		_, at, err := r.store.Stat(ctx, sealed.Snapshot.Prefix+id.String())
		if err == nil && now.Sub(at) >= youngPack {
			_ = r.discard(ctx, sealed.Pending.Prefix+id.String())
		}
	}
}

// secureRounds bounds how often a writer copies what prunes condemn meanwhile.
const secureRounds = 5

// secure makes sure that no prune takes away what the snapshot needs: everything is in packs that no prune record in the
// store condemns. The error wraps ErrOvertaken if something is gone.
func (w *writing) secure(ctx context.Context, s *Snapshot) error {
	for range secureRounds {
		needed, err := w.overdue(ctx)
		if err != nil || !needed {
			return err
		}
		missing, err := w.missing(ctx, s)
		if err != nil {
			if IsDamage(err) {
				return fmt.Errorf("%w: %w", ErrOvertaken, err)
			}
			return err
		}
		if len(missing) == 0 {
			w.mustVerify = false
			continue // until nothing new was found
		}
		damaged, err := w.r.rescue(ctx, missing)
		if err != nil {
			return err
		}
		if len(damaged) > 0 {
			return fmt.Errorf("%w: packs are damaged", ErrOvertaken)
		}
		w.mustVerify = true
	}
	return fmt.Errorf("%w: prunes come faster than this run", ErrOvertaken)
}

// missing returns the chunks of a snapshot's tree that are in no pack that is there, or in condemned ones alone. Packs
// that this run wrote may be gone without a trace if it was asleep for days.
func (w *writing) missing(ctx context.Context, s *Snapshot) ([]pack.ChunkID, error) {
	there, err := w.r.listPacks(ctx, w.r.store)
	if err != nil {
		return nil, err
	}
	lost, err := w.r.lostPacks(ctx, there)
	if err != nil {
		return nil, err
	}
	w.r.set.Condemn(lost...)
	clear(w.relied) // what is needed of them is found anew
	missing, err := w.missingChunks(ctx, s)
	if (err != nil && IsDamage(err)) || len(missing) > 0 {
		// An index file that was in use when the snapshot was made need not show in a listing yet.
		added, addErr := w.r.addNamedIndexes(ctx, map[pack.ID]*Snapshot{s.ID: s})
		if addErr != nil {
			return nil, addErr
		}
		if added {
			return w.missingChunks(ctx, s)
		}
	}
	return missing, err
}

// overdue looks at what others did, and reports whether the tree has to be gone through. It takes what it sees as known.
func (w *writing) overdue(ctx context.Context) (bool, error) {
	r := w.r
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	from, err := listOnce(ctx, r.store, sealed.Index.Prefix, sealed.Prune.Prefix)
	if err != nil {
		return false, fmt.Errorf("list index: %w", err)
	}
	names, err := r.listIDs(ctx, from, sealed.Index)
	if err != nil {
		return false, fmt.Errorf("list index: %w", err)
	}
	there := make(map[pack.ID]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	needed := w.mustVerify || w.vanished()
	for _, used := range []map[pack.ID]bool{w.indexes, r.indexNames} { // others of this run have brought in more
		for name := range used {
			needed = needed || !there[name]
		}
	}
	if err := r.syncPruneRecords(ctx, from); err != nil {
		return false, err
	}
	for id := range r.pruneNames {
		needed = needed || !w.regarded(id)
	}
	if needed {
		if err := r.syncIndexLocked(ctx); err != nil {
			return false, err
		}
		w.indexes = r.indexNames
	}
	w.seen, w.parent = r.pruneNames, nil
	return needed, nil
}

// regarded reports whether the writer had regard to a prune record. The lock of the index is held.
func (w *writing) regarded(id pack.ID) bool {
	if !w.seen[id] {
		return false
	}
	return w.parent == nil || w.r.prunes[id].regards(w.parent.ID) || slices.Contains(w.parent.Prune, id.String())
}

// missingChunks returns the chunks of a snapshot's tree that are in no pack, or in condemned ones alone.
func (w *writing) missingChunks(ctx context.Context, s *Snapshot) ([]pack.ChunkID, error) {
	root, err := s.RootID()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var missing []pack.ChunkID
	walker := prune.NewWalker(w.r.load)
	err = walker.Walk(ctx, []pack.ChunkID{root}, func(ids []pack.ChunkID) {
		for _, id := range ids {
			l, ok := w.r.set.Lookup(id)
			if ok && !l.Fresh {
				continue
			}
			mu.Lock()
			if ok {
				w.rely(l.Pack)
			} else {
				missing = append(missing, id)
			}
			mu.Unlock()
		}
	})
	if err == nil {
		err = walker.Broken()
	}
	return missing, err
}

// segmentPlace is a segment.
type segmentPlace struct {
	pack   pack.ID
	offset uint32
}

// rescue copies chunks that are in condemned packs alone to new packs, and indexes these. It returns the packs that are damaged,
// so that what they alone hold was not copied. The error wraps ErrOvertaken if a chunk is gone.
func (r *Repo) rescue(ctx context.Context, ids []pack.ChunkID) (damaged map[pack.ID]bool, err error) {
	damaged = map[pack.ID]bool{}
	c := prune.NewCopier(r.store, r.meta, r.config.ID, r.opts.PackSize)
	defer c.Abandon()
	tried := map[pack.ID]error{}
	for len(ids) > 0 {
		wanted := map[segmentPlace]bool{}
		from := map[pack.ID][]pack.ChunkID{}
		classes := map[pack.ID]pack.Class{}
		for _, id := range ids {
			l, err := r.rescuable(ctx, id, tried)
			if errors.Is(err, prune.ErrDamaged) {
				continue
			}
			if err != nil {
				return nil, err
			}
			wanted[segmentPlace{l.Pack, l.Offset}] = true
			from[l.Pack], classes[l.Pack] = append(from[l.Pack], id), l.Class
		}
		ids = nil
		for id, class := range classes {
			size, _, err := r.store.Stat(ctx, pack.Name(class, id))
			if err == nil {
				_, err = c.Copy(ctx, class, id, size, func(offset uint32) prune.Stream {
					if wanted[segmentPlace{id, offset}] {
						return prune.Current
					}
					return prune.Leave
				})
			}
			switch {
			case errors.Is(err, prune.ErrDamaged):
				damaged[id], tried[id] = true, err
				ids = append(ids, from[id]...) // another pack may have them
			case errors.Is(err, fs.ErrNotExist):
				return nil, fmt.Errorf("%w: %w", ErrOvertaken, err)
			case err != nil:
				return nil, err
			}
		}
	}
	packs, err := c.Finish(ctx)
	if err == nil {
		err = r.saveIndex(ctx, packs)
	}
	return damaged, err
}

// rescuable returns a place of the chunk in a pack that is there. tried holds packs that were looked for. The error wraps
// prune.ErrDamaged if all that are there are damaged, ErrOvertaken if none is there.
func (r *Repo) rescuable(ctx context.Context, id pack.ChunkID, tried map[pack.ID]error) (index.Location, error) {
	var damaged error
	for _, l := range r.set.Locations(id) {
		err, ok := tried[l.Pack]
		if !ok {
			_, _, err = r.store.Stat(ctx, pack.Name(l.Class, l.Pack))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return l, err
			}
			tried[l.Pack] = err
		}
		if err == nil {
			return l, nil
		}
		if errors.Is(err, prune.ErrDamaged) {
			damaged = err
		}
	}
	if damaged != nil {
		return index.Location{}, damaged
	}
	return index.Location{}, fmt.Errorf("%w: chunk %s", ErrOvertaken, id)
}

// maxIndexRows bounds the rows of an index file that is written here.
const maxIndexRows = 200_000

// saveIndex stores index files of new packs and adds the packs to the index. The error wraps ErrOvertaken if a pack is gone.
func (r *Repo) saveIndex(ctx context.Context, packs []index.Pack) error {
	for len(packs) > 0 {
		n := indexPart(packs)
		id, err := chunks.SaveIndex(ctx, r.store, r.records, index.File{Packs: packs[:n]}, chunks.Age{})
		if err != nil {
			return fmt.Errorf("store index: %w", overtaken(err))
		}
		r.unlisted.stored(id, packs[:n])
		for _, p := range packs[:n] {
			r.set.Add(p)
		}
		packs = packs[n:]
	}
	return nil
}

// overtaken adds ErrOvertaken to an error that says that packs are gone.
func overtaken(err error) error {
	if errors.Is(err, chunks.ErrGone) {
		return fmt.Errorf("%w: %w", ErrOvertaken, err)
	}
	return err
}

// indexPart returns how many of the packs go into one index file.
func indexPart(packs []index.Pack) int {
	n, rows := 0, 0
	for n < len(packs) && n < index.MaxPacks && (n == 0 || rows+packs[n].Chunks() <= maxIndexRows) {
		rows += packs[n].Chunks()
		n++
	}
	return n
}
