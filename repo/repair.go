package repo

import (
	"bytes"
	"context"
	"crypto/rand"
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
	"github.com/snapkeep/snap/internal/parity"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// repairing is the state of one Repair.
type repairing struct {
	r         *Repo
	o         RepairOptions
	raw       Store // without what protects; in a dry run what it would be
	found     Store // raw as it was found, with what was put aside
	protected bool
	coder     parity.Coder
	result    *RepairResult
	begun     bool // the log says so

	all   map[string]int64 // files of the store with their sizes
	packs packFiles
	fresh freshPacks // that no index file named

	mu       sync.Mutex       // guards what follows while packs are hashed
	archived map[pack.ID]bool // packs that nobody can read at once: nothing is wrong with them
	broken   []packFile       // packs whose bytes do not match their names
	lost     []packFile       // those of them, and of missing ones, that cannot be mended

	heads     map[seal.KeyID]bool        // content keys that packs of data begin with
	elsewhere map[pack.ID]string         // files that hold the bytes of other packs
	mended    map[pack.ID]pack.Directory // of packs that are whole now, or would be
	sealers   map[pack.ID][]seal.KeyID   // of their segments of data
}

// Repair makes whole again what can be: from parity, from second copies, and the index from the packs. It removes nothing: damaged
// bytes are put aside. What cannot be mended is void from then on, so that the next backup reads anew what the source still
// has. The error is ErrDamagedFound if there was damage, mended or not; the result tells what is left. What a run leaves that was cut
// off is tidied and is no damage.
func (r *Repo) Repair(ctx context.Context, o RepairOptions) (*RepairResult, error) {
	defer r.use()()
	if o.Progress == nil {
		o.Progress = &CheckProgress{}
	}
	p := &repairing{r: r, o: o, raw: r.store, result: &RepairResult{}, all: map[string]int64{}, archived: map[pack.ID]bool{}, heads: map[seal.KeyID]bool{}, elsewhere: map[pack.ID]string{}, mended: map[pack.ID]pack.Directory{}, sealers: map[pack.ID][]seal.KeyID{}}
	if s, ok := able[protector](r.store); ok {
		p.raw, p.protected = s.unprotected(), true
	}
	p.found = p.raw
	if o.DryRun {
		p.raw = newOverlay(p.raw)
		view, err := r.over(p.raw)
		if err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
		defer view.Close()
		p.r = view
	} else {
		defer r.enter(ctx, "repair").leave()
	}
	if err := p.end(ctx, p.run(ctx)); err != nil {
		return p.result, fmt.Errorf("repair: %w", err)
	}
	if p.result.found() {
		return p.result, ErrDamagedFound
	}
	return p.result, nil
}

// found reports whether there was any damage.
func (r *RepairResult) found() bool {
	return len(r.Mended)+r.Indexed+len(r.Damage)+len(r.Affected) > 0
}

func (p *repairing) run(ctx context.Context) error {
	err := p.raw.List(ctx, "", func(name string, size int64, modTime time.Time) error {
		p.all[name] = size
		p.packs.add(name, size, modTime)
		return nil
	})
	if err != nil {
		return err
	}
	p.packs.sort()
	if err := p.mendSmall(ctx); err != nil {
		return err
	}
	if err := p.r.syncIndex(ctx); err != nil {
		return err
	}
	if err := p.hashPacks(ctx); err != nil {
		return err
	}
	p.result.Archived = len(p.archived)
	if err := p.mendPacks(ctx); err != nil {
		return err
	}
	if err := p.reindex(ctx); err != nil {
		return err
	}
	if err := p.loseKeyless(ctx); err != nil {
		return err
	}
	bad, err := p.giveUp(ctx)
	if err != nil {
		return err
	}
	return p.assess(ctx, bad)
}

// begin says in the log that something is about to be changed, unless it stands there already: whatever ends the repair, the log tells of it.
func (p *repairing) begin(ctx context.Context) error {
	if p.begun || p.o.DryRun {
		return nil
	}
	if err := p.r.note(ctx, LogEntry{What: "repair", Why: "begun"}); err != nil {
		return err
	}
	p.begun = true
	return nil
}

// end says in the log what was done, also by a repair that ended with err.
func (p *repairing) end(ctx context.Context, err error) error {
	if p.o.DryRun || !p.begun && (err != nil || !p.result.found()) {
		return err
	}
	entry := LogEntry{What: "repair", Files: slices.Concat(p.result.Mended, p.result.Protected)}
	if err != nil {
		entry.Why = "broke off"
	}
	return errors.Join(err, p.r.note(context.WithoutCancel(ctx), entry))
}

// mendSmall compares small files with their copies, and makes either whole with the other.
func (p *repairing) mendSmall(ctx context.Context) error {
	var names []string
	for name := range p.all {
		plain := strings.TrimPrefix(name, copyPrefix)
		if kind, _ := classify(plain); copied(kind) {
			names = append(names, plain)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		file, fileErr := p.good(ctx, name, name)
		second, copyErr := p.good(ctx, copyPrefix+name, name)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		switch {
		case fileErr == nil && copyErr == nil:
		case fileErr == nil && !errors.Is(copyErr, fs.ErrNotExist):
			err = p.replace(ctx, copyPrefix+name, file)
		case fileErr == nil && p.protected:
			err = p.protect(ctx, copyPrefix+name, file)
		case fileErr == nil:
		case copyErr == nil:
			err = p.replace(ctx, name, second)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// good returns the bytes of a small file if they are what plain is to be.
func (p *repairing) good(ctx context.Context, name, plain string) ([]byte, error) {
	if _, ok := p.all[name]; !ok {
		return nil, fs.ErrNotExist
	}
	data, err := sealed.ReadFile(ctx, p.raw, name, int64(sealed.Index.Limit)+1024)
	if err == nil {
		err = p.r.checkBytes(ctx, plain, data)
	}
	return data, err
}

// replace gives a file other bytes. What stands there is put aside.
func (p *repairing) replace(ctx context.Context, name string, data []byte) error {
	p.result.Mended = append(p.result.Mended, name)
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.putAside(ctx, name); err != nil {
		return err
	}
	return p.store(ctx, name, data)
}

// protect stores a second copy or parity that is not there. A run that was cut off leaves that, and nothing was lost by it. One that goes on may be
// about to store it.
func (p *repairing) protect(ctx context.Context, name string, data []byte) error {
	if c, ok := able[clearer](p.found); ok {
		if blocked, err := c.Blocked(ctx, name); err != nil || blocked {
			if err != nil {
				return err
			}
			return p.replace(ctx, name, data)
		}
	}
	p.result.Protected = append(p.result.Protected, name)
	if p.o.DryRun {
		return nil
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.store(ctx, name, data); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (p *repairing) store(ctx context.Context, name string, data []byte) error {
	if err := p.raw.Create(ctx, name, bytes.NewReader(data), int64(len(data))); err != nil {
		return fmt.Errorf("write mended %s: %w", name, err)
	}
	p.all[name] = int64(len(data))
	return nil
}

// asideStep is how much of a damaged file is read at once. What cannot be read becomes zeros.
const asideStep = 64 << 10

// putAside moves what can be read of a file to bad/, or what is no file and stands in its place. It does nothing if there is neither.
func (p *repairing) putAside(ctx context.Context, name string) error {
	if p.o.DryRun {
		if err := p.raw.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	aside := badPrefix + name + "." + hex.EncodeToString(random[:])
	size, _, err := p.raw.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return p.clear(ctx, name, aside)
	}
	if err != nil {
		return err
	}
	if size > pack.MaxPackSize {
		return fmt.Errorf("put %s aside: %w: %d bytes", name, ErrDamaged, size)
	}
	data := make([]byte, size)
	for off := 0; off < len(data); off += asideStep {
		part := data[off:min(off+asideStep, len(data))]
		if n, err := p.raw.ReadAt(ctx, name, part, int64(off)); n < len(part) && err != nil {
			clear(part[n:])
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := p.raw.Create(ctx, aside, bytes.NewReader(data), size); err != nil {
		return fmt.Errorf("put %s aside: %w", name, err)
	}
	p.all[aside] = size
	for id, place := range p.elsewhere {
		if place == name {
			p.elsewhere[id] = aside
		}
	}
	if err := p.raw.Remove(ctx, name); err != nil {
		return fmt.Errorf("put %s aside: %w", name, err)
	}
	return nil
}

// clearer is a Store in which something else than a file may have the name of one.
type clearer interface {
	Blocked(ctx context.Context, name string) (bool, error)
	PutAside(ctx context.Context, name, aside string) error
}

// clear moves what is in the way of a file, and none itself, to aside.
func (p *repairing) clear(ctx context.Context, name, aside string) error {
	c, ok := able[clearer](p.raw)
	if !ok {
		return nil
	}
	if err := c.PutAside(ctx, name, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// hashPacks compares the bytes of all packs with their names.
func (p *repairing) hashPacks(ctx context.Context) error {
	if err := p.r.warmUpFiles(ctx, p.packs); err != nil {
		return err
	}
	for i := range p.packs {
		p.o.Progress.TotalPacks.Add(1)
		p.o.Progress.TotalBytes.Add(p.packs[i].size)
	}
	return inParallel(ctx, p.packs, func() func(context.Context, packFile) error {
		h := check.NewHasher(p.raw)
		return func(ctx context.Context, f packFile) error {
			sum, read, err := h.Sum(ctx, f.name(), f.size)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p.o.Progress.Packs.Add(1)
			p.o.Progress.Bytes.Add(read)
			if errors.Is(err, ErrArchived) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.archived[f.id] = true
				return nil
			}
			if err == nil && sum == f.id && f.class == pack.ClassData {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.heads[h.Head()] = true
				return nil
			}
			if (err != nil && !errors.Is(err, fs.ErrNotExist)) || (err == nil && sum != f.id) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.broken = append(p.broken, f)
				if err == nil {
					p.elsewhere[sum] = f.name()
				}
			}
			return nil
		}
	})
}

// missingPacks returns the packs that the index or parity knows and the store has not.
func (p *repairing) missingPacks(ctx context.Context) (missing []packFile, err error) {
	seen := map[pack.ID]bool{}
	var suspects []packFile
	for info := range p.r.set.Packs() {
		seen[info.ID] = true
		if !info.Condemned && p.packs.find(info.ID) == nil {
			suspects = append(suspects, packFile{id: info.ID, size: info.Size, class: info.Class})
		}
	}
	for name := range p.all {
		kind, id := classify(name)
		if kind == fileParity && !seen[id] && p.packs.find(id) == nil {
			suspects = append(suspects, packFile{id: id})
		}
	}
	for _, f := range suspects {
		there, err := p.there(ctx, f)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, f)
		}
	}
	return missing, nil
}

// there reports whether the store has a pack, of which the listing may be older than the index.
func (p *repairing) there(ctx context.Context, f packFile) (bool, error) {
	for _, class := range []pack.Class{pack.ClassData, pack.ClassMeta} {
		if f.class != 0 && f.class != class {
			continue
		}
		if _, _, err := p.raw.Stat(ctx, pack.Name(class, f.id)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// mendPacks makes broken and missing packs whole, and parity where it is missing.
func (p *repairing) mendPacks(ctx context.Context) error {
	missing, err := p.missingPacks(ctx)
	if err != nil {
		return err
	}
	for _, f := range append(p.broken, missing...) {
		name, data, err := p.mend(ctx, f)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			p.lost = append(p.lost, f)
			continue
		}
		if err := p.replace(ctx, name, data); err != nil {
			return err
		}
		whole := packFile{id: f.id, size: int64(len(data)), class: pack.ClassData}
		if kind, _ := classify(name); kind == fileMeta {
			whole.class = pack.ClassMeta
		}
		p.packs.insert(whole)
	}
	if !p.protected {
		return nil
	}
	return p.mendParity(ctx)
}

// mend returns the right bytes of a pack, and its name in the store.
func (p *repairing) mend(ctx context.Context, f packFile) (name string, data []byte, err error) {
	if name, data, err := p.fromElsewhere(ctx, f); err == nil || ctx.Err() != nil {
		return name, data, err
	}
	par, err := readParity(ctx, p.raw, f.id)
	if par == nil {
		return "", nil, err
	}
	// The pack itself, or what a repair that was cut off has put aside.
	sources := []string{pack.Name(pack.ClassData, f.id), pack.Name(pack.ClassMeta, f.id)}
	for name := range p.all {
		if strings.HasPrefix(name, badPrefix) && strings.Contains(name, f.id.String()) {
			sources = append(sources, name)
		}
	}
	err = fs.ErrNotExist
	for _, source := range sources {
		if _, ok := p.all[source]; !ok {
			continue
		}
		if data, _, err = p.coder.Mend(ctx, par, storeReader{ctx, p.raw, source}); err == nil {
			name, err := p.nameOf(f, data)
			return name, data, err
		}
	}
	return "", nil, err
}

// nameOf returns the name of a pack of these bytes, and remembers its directory.
func (p *repairing) nameOf(f packFile, data []byte) (string, error) {
	class, directory, err := pack.ReadDirectoryFrom(bytes.NewReader(data), int64(len(data)), p.r.meta, p.r.config.ID)
	p.mended[f.id] = directory
	for i := range directory {
		if id, err := seal.BoxKey(data[directory[i].Offset:]); err == nil && class == pack.ClassData {
			p.sealers[f.id] = append(p.sealers[f.id], id)
			p.heads[id] = true
		}
	}
	return pack.Name(class, f.id), err
}

// fromElsewhere returns the bytes of a pack that a file of another name was found to hold, and its name in the store.
func (p *repairing) fromElsewhere(ctx context.Context, f packFile) (name string, data []byte, err error) {
	place, ok := p.elsewhere[f.id]
	if !ok {
		return "", nil, fs.ErrNotExist
	}
	if data, err = sealed.ReadFile(ctx, p.found, place, pack.MaxPackSize); err != nil {
		return "", nil, err
	}
	if pack.SumID(data) != f.id {
		return "", nil, ErrDamaged
	}
	name, err = p.nameOf(f, data)
	return name, data, err
}

// mendParity makes the parity of whole packs that have none, or damaged one.
func (p *repairing) mendParity(ctx context.Context) error {
	for i := range p.packs {
		f := &p.packs[i]
		if p.archived[f.id] {
			continue
		}
		if slices.ContainsFunc(p.lost, func(l packFile) bool { return l.id == f.id }) {
			continue
		}
		par, parErr := readParity(ctx, p.raw, f.id)
		if parErr == nil && par.Size == f.size {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var file []byte
		if !p.o.DryRun { // there the pack may be one that would be mended, and nobody looks at the parity
			var err error
			if file, err = p.coder.Encode(ctx, storeReader{ctx, p.raw, f.name()}, f.size, f.id); err != nil {
				return err
			}
		}
		store := p.replace
		if errors.Is(parErr, fs.ErrNotExist) {
			store = p.protect
		}
		if err := store(ctx, parityName(f.id), file); err != nil {
			return err
		}
	}
	return nil
}

// reindex puts aside index files that are damaged, and indexes the packs that no other names.
func (p *repairing) reindex(ctx context.Context) error {
	rows, err := p.unindexed(ctx)
	if err != nil {
		return err
	}
	for _, d := range p.r.damagedIndexes() {
		name := sealed.Index.Prefix + d.Name.String()
		p.result.Mended = append(p.result.Mended, name)
		if err := p.begin(ctx); err != nil {
			return err
		}
		if err := p.putAside(ctx, name); err != nil {
			return err
		}
	}
	p.fresh.add(rows)
	if len(rows) == 0 {
		return nil
	}
	if err := p.begin(ctx); err != nil {
		return err
	}
	return p.r.saveIndex(ctx, rows)
}

// unindexed returns the packs that no index file names. The error says so if one was made by a newer version: without it, snapshots would seem damaged.
func (p *repairing) unindexed(ctx context.Context) ([]index.Pack, error) {
	var rows []index.Pack
	for i := range p.packs {
		f := &p.packs[i]
		if _, ok := p.r.set.Pack(f.id); ok || p.r.isCondemned(f.id) {
			continue
		}
		class, directory, err := f.class, p.mended[f.id], error(nil)
		if directory == nil {
			class, directory, err = pack.ReadDirectoryFrom(storeReader{ctx, p.raw, f.name()}, f.size, p.r.meta, p.r.config.ID)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, pack.ErrNewer) {
			return nil, fmt.Errorf("pack %s: %w", f.id, err)
		}
		if err != nil || class != f.class {
			continue // it was found broken, or belongs to somebody else
		}
		rows = append(rows, index.Pack{ID: f.id, Class: class, Size: f.size, Directory: directory})
	}
	return rows, nil
}

// isCondemned reports whether a prune record names the pack.
func (r *Repo) isCondemned(id pack.ID) bool {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	for name := range r.pruneNames {
		if slices.Contains(r.prunes[name].Condemned, id) {
			return true
		}
	}
	return false
}
