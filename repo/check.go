package repo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/check"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/parity"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// checking is the state of one Check or Repair.
type checking struct {
	r      *Repo
	o      CheckOptions
	load   tree.LoadPage
	once   Store // reads small files of the store once
	result *CheckResult

	begin   time.Time
	packs   packFiles
	content map[string]bool   // names of content keys
	named   map[string]bool   // files that are noted as damaged
	logs    []string          // names of its entries
	parity  map[pack.ID]int64 // of which size of packs their parity is, where data is read

	lengths *check.Lengths // of the chunks of packs that were read; nil if none were

	mu      sync.Mutex       // guards what follows, and result, while packs are read
	read    map[pack.ID]bool // packs that were read, of which nothing is wrong
	bad     badPacks         // of all packs, condemned ones too
	missing []index.PackInfo // packs that are not there
	lost    []pack.ID        // packs that are in the index, not condemned, and missing or damaged
}

// Check looks for damage: in records, in the index, in the trees of all snapshots and of those in the trash, and if it is
// asked to in the packs themselves. The error is ErrDamagedFound if it found some; the result tells where.
func (r *Repo) Check(ctx context.Context, o CheckOptions) (*CheckResult, error) {
	defer r.use()()
	c, err := r.check(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if len(c.result.Damage)+len(c.result.Affected) > 0 {
		return c.result, ErrDamagedFound
	}
	return c.result, nil
}

func (r *Repo) check(ctx context.Context, o CheckOptions) (*checking, error) {
	once, load, end := r.readOnce()
	defer end()
	return r.checkWith(ctx, o, badPacks{}, load, once)
}

// checkWith checks with what is known about packs already, pages that load loads, and small files that once reads.
func (r *Repo) checkWith(ctx context.Context, o CheckOptions, bad badPacks, load tree.LoadPage, once Store) (*checking, error) {
	if o.Progress == nil {
		o.Progress = &CheckProgress{}
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = 1000
	}
	if o.MaxAge != 0 && o.Ledger == nil {
		return nil, errNoLedger
	}
	choose, err := parseSubset(o.Subset)
	if err != nil {
		return nil, err
	}
	o.ReadData = o.ReadData || o.Subset != "" || o.MaxAge != 0
	c := &checking{r: r, o: o, begin: time.Now(), result: &CheckResult{}, content: map[string]bool{}, named: map[string]bool{}, parity: map[pack.ID]int64{}, bad: bad, load: load, once: once}
	// Snapshots are listed before the index and the index before the packs' presence is judged, so
	// that whoever writes or prunes beside leaves no trace that looks like damage.
	snapshots, err := c.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.files(ctx); err != nil {
		return nil, err
	}
	if err := c.index(ctx); err != nil {
		return nil, err
	}
	if o.ReadData {
		if err := c.readPacks(ctx, c.due(choose(c.r.set))); err != nil {
			return nil, err
		}
	}
	c.cover()
	if err := c.losePacks(ctx); err != nil {
		return nil, err
	}
	if err := c.trees(ctx, snapshots); err != nil {
		return nil, err
	}
	sortDamage(c.result.Damage)
	return c, nil
}

// damage notes what is damaged, once.
func (c *checking) damage(d Damage) {
	if c.named[d.Name] {
		return
	}
	c.named[d.Name] = true
	c.result.Damage = append(c.result.Damage, d)
}

// snapshots loads the records of snapshots and of the trash.
func (c *checking) snapshots(ctx context.Context) ([]*Snapshot, error) {
	var all []*Snapshot
	seen := map[pack.ID]bool{}
	records := sealed.New(c.once, c.r.meta)
	records.Fallback(copies{c.r.store})
	from, err := listOnce(ctx, c.r.store, sealed.Snapshot.Prefix, sealed.Trash.Prefix) // in this order: a snapshot that is moved shows
	if err != nil {
		return nil, err
	}
	for _, kind := range []sealed.Kind{sealed.Snapshot, sealed.Trash} {
		ids, err := c.r.listIDs(ctx, from, kind)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			body, err := records.Load(ctx, kind, id)
			s, err := decodeSnapshot(id, body, err)
			switch {
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				c.damage(Damage{Name: kind.Prefix + id.String(), Err: err})
			case !seen[id]:
				seen[id] = true
				s.Trashed = kind == sealed.Trash
				all = append(all, s)
			}
		}
	}
	c.result.Snapshots = len(all)
	return all, nil
}

// files lists the store and opens what is small.
func (c *checking) files(ctx context.Context) error {
	var small, second []string
	err := c.r.store.List(ctx, "", func(name string, size int64, modTime time.Time) error {
		c.packs.add(name, size, modTime)
		switch kind, _ := classify(name); kind {
		case fileContent:
			c.content[name] = true
			small = append(small, name)
		case fileConfig, fileSlot, fileSettings, fileLabel, filePrune, filePending, fileCopy, fileIndex, fileSnapshot:
			// Readers may have used a second copy; here each file counts by itself.
			small = append(small, name)
			if plain, ok := strings.CutPrefix(name, copyPrefix); ok {
				second = append(second, plain)
			}
		case fileParity:
			if c.o.ReadData {
				small = append(small, name)
			}
		case fileLog:
			c.logs = append(c.logs, strings.TrimPrefix(name, logPrefix))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.packs.sort()
	for _, name := range small {
		if c.r.opts.OneRun && slices.Contains(c.r.sound, name) {
			continue // it was read a moment ago
		}
		err := c.checkFile(ctx, name)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.damage(Damage{Name: name, Err: err})
		}
	}
	slices.Sort(small)
	second = slices.DeleteFunc(second, func(name string) bool {
		_, there := slices.BinarySearch(small, name)
		return there
	})
	lost, err := lostFiles(ctx, c.r.store, second)
	if err != nil {
		return err
	}
	for _, name := range lost {
		c.damage(Damage{Name: name, Missing: true, Err: fs.ErrNotExist})
	}
	return c.log(ctx)
}

// log checks the chain of the log.
func (c *checking) log(ctx context.Context) error {
	c.r.sortLog(c.logs)
	entries, err := c.r.readLog(ctx, c.logs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Err != nil {
			c.damage(Damage{Name: logPrefix + e.Name, Missing: e.Missing, Err: e.Err})
		}
	}
	return nil
}

// checkFile opens a small file and returns what is wrong with it.
func (c *checking) checkFile(ctx context.Context, name string) error {
	kind, id := classify(name)
	if kind == fileParity {
		p, err := readParity(ctx, c.r.store, id)
		if err == nil {
			c.parity[id] = p.Size
		}
		return err
	}
	read := sealed.ReadFile
	if kind == fileIndex {
		read = sealed.ReadIndexFile
	}
	data, err := read(ctx, c.once, name, int64(sealed.Index.Limit)+1024)
	if err != nil {
		return err
	}
	return c.r.checkBytes(ctx, strings.TrimPrefix(name, copyPrefix), data)
}

// checkBytes returns what is wrong with the bytes of a small file.
func (r *Repo) checkBytes(ctx context.Context, name string, data []byte) (err error) {
	if tells, matches := hashedName(name, pack.SumID(data)); tells && !matches {
		return fmt.Errorf("%w: its bytes do not match its name", ErrDamaged)
	}
	kind, id := classify(name)
	switch kind {
	case fileConfig:
		config, err := keyring.ParseConfig(data)
		if err == nil && config.Sum() != r.config.Sum() {
			err = ErrConfigSwapped
		}
		return err
	case fileSlot:
		_, err = keyring.ParseSlot(keyring.File{Name: name, Data: data})
	case fileContent:
		if r.secrets.Role() == RoleFull {
			var key seal.KeyID
			_, _ = hex.Decode(key[:], []byte(strings.TrimPrefix(name, keyring.ContentPrefix))) // 16 digits, as classify saw
			_, err = r.secrets.UnwrapContentKey(key, data)
		}
	case fileSettings:
		_, err = r.openSettings(name, data)
	case fileIndex:
		_, err = r.records.Open(sealed.Index, id, data)
	case fileSnapshot, filePending:
		err = opened(r, sealed.Snapshot, id, data, func(id pack.ID, body []byte) (*Snapshot, error) { return decodeSnapshot(id, body, nil) })
	case fileLabel:
		err = opened(r, sealed.Label, id, data, decodeLabel)
	case filePrune:
		err = opened(r, sealed.Prune, id, data, decodePruneRecord)
	}
	return err
}

// opened opens a record and decodes its body.
func opened[T any](r *Repo, kind sealed.Kind, id pack.ID, data []byte, decode func(pack.ID, []byte) (T, error)) error {
	body, err := r.records.Open(kind, id, data)
	if err == nil {
		_, err = decode(id, body)
	}
	return err
}

// index compares the index with the packs that the store has.
func (c *checking) index(ctx context.Context) error {
	if err := c.r.syncIndex(ctx); err != nil {
		return err
	}
	for _, d := range c.r.damagedIndexes() {
		c.damage(Damage{Name: sealed.Index.Prefix + d.Name.String(), Err: d.Err})
	}
	for p := range c.r.set.Packs() {
		c.result.Packs++
		c.result.PackBytes += p.Size
		file := c.packs.find(p.ID)
		if file == nil {
			// It may have been stored after the listing, or removed.
			size, _, err := c.r.store.Stat(ctx, pack.Name(p.Class, p.ID))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err == nil {
				file = &packFile{id: p.ID, class: p.Class, size: size}
			}
		}
		switch {
		case file == nil:
			c.bad.whole(p.ID)
			c.missing = append(c.missing, p)
		case file.class != p.Class || file.size != p.Size:
			if c.bad[p.ID] == nil { // or a repair knows what of it can be read
				c.bad.whole(p.ID)
			}
			c.lose(p.ID, Damage{Name: file.name(), Err: fmt.Errorf("%w: %d bytes, the index has %d", ErrDamaged, file.size, p.Size)})
		}
	}
	for i := range c.packs {
		file := &c.packs[i]
		if _, ok := c.r.set.Pack(file.id); !ok {
			c.result.Orphans = append(c.result.Orphans, file.name())
			c.result.OrphanBytes += file.size
		}
	}
	return nil
}

// lose notes a pack that is damaged or missing.
func (c *checking) lose(id pack.ID, d Damage) {
	c.damage(d)
	c.lost = append(c.lost, id)
}

// losePacks notes the packs that are missing, unless a prune has removed them.
func (c *checking) losePacks(ctx context.Context) error {
	if len(c.missing) == 0 {
		return nil
	}
	if err := c.r.syncIndex(ctx); err != nil {
		return err
	}
	for _, p := range c.missing {
		if now, ok := c.r.set.Pack(p.ID); ok && !now.Condemned {
			c.lose(p.ID, Damage{Name: pack.Name(p.Class, p.ID), Missing: true, Err: fs.ErrNotExist})
		}
	}
	return nil
}

// damagedIndexes returns the index files that could not be used at the last sync.
func (r *Repo) damagedIndexes() []index.Damage {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	return slices.Clone(r.indexDamage)
}

// readPacks reads packs whole, several at a time.
func (c *checking) readPacks(ctx context.Context, chosen []index.PackInfo) error {
	chosen = slices.DeleteFunc(chosen, func(p index.PackInfo) bool { return c.bad[p.ID] != nil })
	c.result.PacksLeft = len(chosen)
	var ids []pack.ID
	chunks := 0
	for _, p := range chosen {
		ids = append(ids, p.ID)
		chunks += p.Chunks
	}
	c.lengths, c.read = check.NewLengths(chunks), make(map[pack.ID]bool, len(chosen))
	if err := c.r.warmUp(ctx, ids); err != nil {
		return err
	}
	for _, p := range chosen {
		c.o.Progress.TotalPacks.Add(1)
		c.o.Progress.TotalBytes.Add(p.Size)
	}
	keys := &check.Keys{Repository: c.r.config.ID, ChunkIDs: c.r.secrets.IDKey(), Metadata: c.r.meta,
		HasContent: func(id seal.KeyID) bool {
			name := keyring.ContentKeyName(id)
			if c.content[name] {
				return true
			}
			_, _, err := c.r.store.Stat(ctx, name) // it may have come since
			return err == nil
		}}
	if c.r.secrets.Role() == RoleFull {
		keys.Content = c.r.content.Key
		c.result.DataOpened = true
	}
	return inParallel(ctx, chosen, func() func(context.Context, index.PackInfo) error {
		reader := check.NewPackReader(c.r.store, c.r.set, keys)
		return func(ctx context.Context, p index.PackInfo) error {
			if c.late() {
				return nil
			}
			report, err := reader.Check(ctx, p.Class, p.ID, p.Size)
			if err == nil && errors.Is(report.Err, ErrArchived) {
				err = fmt.Errorf("pack %s: %w", p.ID, report.Err) // which says nothing of the pack
			}
			if err != nil {
				return err
			}
			c.o.Progress.Packs.Add(1)
			c.o.Progress.Bytes.Add(p.Size) // directories are read besides, and of what is damaged not all
			for _, s := range report.Directory {
				for _, chunk := range s.Chunks {
					c.lengths.Add(chunk.ID, int64(chunk.Length))
				}
			}
			c.packRead(p, report)
			return nil
		}
	})
}

// packRead notes what reading a pack has shown.
func (c *checking) packRead(p index.PackInfo, report check.PackReport) {
	missing := errors.Is(report.Err, fs.ErrNotExist) && report.Bytes == 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.PacksRead++
	c.result.PacksLeft--
	c.result.BytesRead += report.Bytes
	c.remember(p, report.Err)
	c.read[p.ID] = report.Err == nil
	if report.Err != nil {
		c.bad[p.ID] = &badPack{all: report.Unknown || missing, segments: report.Bad}
	}
	switch {
	case missing:
		c.missing = append(c.missing, p)
	case report.Err != nil:
		c.lose(p.ID, Damage{Name: pack.Name(p.Class, p.ID), Err: report.Err})
	default:
		if size, ok := c.parity[p.ID]; ok && size != p.Size {
			c.damage(Damage{Name: parityName(p.ID), Err: fmt.Errorf("%w: it is of %d bytes, the pack has %d", parity.ErrCorrupt, size, p.Size)})
		}
	}
}

// trees looks at the trees of snapshots and tells which of their files damage reaches.
func (c *checking) trees(ctx context.Context, snapshots []*Snapshot) error {
	trees := check.NewTrees(c.loadNoting, c.hasNoting)
	for _, s := range snapshots {
		root, err := s.RootID()
		if err != nil {
			return err // decoding has seen to it
		}
		if err := trees.Add(ctx, root); err != nil {
			return err
		}
		c.o.Progress.Snapshots.Add(1)
	}
	c.result.Pages = trees.Pages()
	if trees.Good() {
		return nil
	}
	for _, s := range snapshots {
		root, err := s.RootID()
		if err != nil {
			return err
		}
		a := Affected{Snapshot: s}
		a.Tree, err = trees.Affected(ctx, root, func(path string) {
			if c.o.MaxFiles < 0 || len(a.Files) < c.o.MaxFiles {
				a.Files = append(a.Files, path)
			} else {
				a.More++
			}
		})
		if err != nil {
			return err
		}
		if a.Tree != nil || len(a.Files) > 0 {
			c.result.Affected = append(c.result.Affected, a)
		}
	}
	return nil
}

// loadNoting loads a page, and notes the packs without an index file that it needs.
func (c *checking) loadNoting(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
	c.o.fresh.note(c.r.set, id)
	return c.load(ctx, kind, id)
}

// hasNoting is has, and notes the packs without an index file that the chunk needs.
func (c *checking) hasNoting(id pack.ChunkID, length int64) bool {
	c.o.fresh.note(c.r.set, id)
	return c.has(id) && c.fits(id, length)
}

// fits reports whether a chunk may have that length. It tells of chunks in packs that were read.
func (c *checking) fits(id pack.ChunkID, length int64) bool {
	if c.lengths == nil || c.lengths.May(id, length) {
		return true
	}
	for _, l := range c.r.set.Locations(id) {
		if c.read[l.Pack] {
			return false
		}
	}
	return true
}

// has reports whether a chunk can be read from a pack that is not known to be bad.
func (c *checking) has(id pack.ChunkID) bool {
	if l, ok := c.r.set.Lookup(id); ok && !c.bad.has(l.Pack, l.Offset) {
		return true
	}
	for _, l := range c.r.set.Locations(id) {
		if !c.bad.has(l.Pack, l.Offset) {
			return true
		}
	}
	return false
}
