package verifier

import (
	"bytes"
	"container/list"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/zeebo/blake3"
)

// cacheSize bounds the opened segments that are kept, in bytes.
const cacheSize = 96 << 20

// Options say how a repository is read.
type Options struct {
	// UseIndex takes where chunks are from the index instead of the packs.
	UseIndex bool
	// Damage is told of each damaged thing, once: the name of a file of the store, or a snapshot
	// and a path in it. Nil means nobody.
	Damage func(what string, err error)
}

// Repository is an open repository. It serves one goroutine.
type Repository struct {
	files   fs.FS
	config  *config
	opts    Options
	keys    *keys
	names   map[string][]string // names in the folders of the store, without the folder
	content map[string]*boxKey
	packs   []packRow
	places  []place
	first   map[chunkID]int32 // number of a chunk's first place

	opened map[segmentKey]*list.Element
	recent list.List // of *openedSegment, the last used in front
	cached int       // bytes

	reported map[string]bool
}

// place is where a chunk is, and where the next place of the same chunk stands.
type place struct {
	pack, segment, ordinal, next int32
}

type segmentKey struct{ pack, segment int32 }

type openedSegment struct {
	key    segmentKey
	chunks [][]byte
	size   int
}

// Open opens the repository in a folder with a credential and reads where its chunks are. What is
// damaged is reported to opts.Damage; an error says that nothing can be read.
func Open(files fs.FS, credential *Credential, opts Options) (*Repository, error) {
	r := &Repository{files: files, opts: opts, content: map[string]*boxKey{}, first: map[chunkID]int32{},
		opened: map[segmentKey]*list.Element{}, reported: map[string]bool{}}
	c, err := r.readConfig()
	if err != nil {
		return nil, err
	}
	r.config = c
	if err := r.list(); err != nil {
		return nil, err
	}
	if err := r.openSlot(c, credential); err != nil {
		return nil, err
	}
	rows := r.packRows()
	condemned := r.condemned()
	for _, wanted := range []bool{true, false} { // what is added last is tried first
		for _, row := range rows {
			if condemned[hex.EncodeToString(row.name[:])] == wanted {
				r.add(row)
			}
		}
	}
	return r, nil
}

// readConfig reads snap.json, or its copy if it is damaged.
func (r *Repository) readConfig() (*config, error) {
	data, err := r.readFile("snap.json", maxSmallFile)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(data)
	if err == nil || errors.Is(err, ErrNewer) {
		return c, err
	}
	copied, copyErr := r.readFile("copy/snap.json", maxSmallFile)
	if copyErr != nil {
		return nil, fmt.Errorf("snap.json: %w", err)
	}
	r.damage("snap.json", err)
	return parseConfig(copied)
}

// damage reports what is damaged, once.
func (r *Repository) damage(what string, err error) {
	if r.reported[what] {
		return
	}
	r.reported[what] = true
	if r.opts.Damage != nil {
		r.opts.Damage(what, err)
	}
}

// Damaged returns how many things have been reported as damaged.
func (r *Repository) Damaged() int { return len(r.reported) }

// folders are the folders of the store and what names in them look like, section 2: 0 stands for a digit, h for
// so many hex digits. Those in split have folders of two digits in them.
var (
	folders = map[string]string{"keys": "h32", "content": "h16", "index": "h64", "snapshots": "h64", "labels": "h64", "trash": "h64", "pending": "h64",
		"prune": "h64", "log": "0000000000-h64", "sessions": "h32-000000", "settings": "00000000-h8", "data": "h64", "meta": "h64", "parity": "h64"}
	split = map[string]bool{"data": true, "meta": true, "parity": true}
)

// fits reports whether a name looks as the shape says.
func fits(name, shape string) bool {
	for shape != "" {
		digits, n := "0123456789", 1
		if shape[0] == 'h' {
			digits = "0123456789abcdef"
			number, _, _ := strings.Cut(shape[1:], "-")
			n, _ = strconv.Atoi(number)
			shape = shape[1+len(number):]
		} else {
			if shape[0] == '-' {
				digits = "-"
			}
			shape = shape[1:]
		}
		if len(name) < n || strings.Trim(name[:n], digits) != "" {
			return false
		}
		name = name[n:]
	}
	return name == ""
}

// list reads the names of all files that fit section 2.
func (r *Repository) list() error {
	r.names = map[string][]string{}
	for folder, shape := range folders {
		err := fs.WalkDir(r.files, folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name := strings.TrimPrefix(path, folder+"/")
			if split[folder] {
				sub, rest, _ := strings.Cut(name, "/")
				if !strings.HasPrefix(rest, sub) || len(sub) != 2 {
					return nil
				}
				name = rest
			}
			if fits(name, shape) {
				r.names[folder] = append(r.names[folder], name)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// path returns the path of a file in a folder of the store.
func (r *Repository) path(folder, name string) string {
	if split[folder] {
		return folder + "/" + name[:2] + "/" + name
	}
	return folder + "/" + name
}

// readFile reads a whole file of at most limit bytes.
func (r *Repository) readFile(path string, limit int64) ([]byte, error) {
	f, err := r.files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = damaged("over %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// readNamed reads a file that is named by the hash of its bytes, the part of the name behind a dash if there is one. If it
// is damaged it is reported, and its copy serves (section 13.2).
func (r *Repository) readNamed(folder, name string, limit int64) ([]byte, error) {
	path := r.path(folder, name)
	data, err := r.readFile(path, limit)
	if err == nil {
		err = checkName(folder, name, data)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	copied, copyErr := r.readFile("copy/"+path, limit)
	if copyErr != nil || checkName(folder, name, copied) != nil {
		return nil, err
	}
	r.damage(path, err)
	return copied, nil
}

func checkName(folder, name string, data []byte) error {
	if folder == "sessions" || folder == "content" {
		return nil // named otherwise
	}
	sum := blake3.Sum256(data)
	if want := name[strings.LastIndexByte(name, '-')+1:]; hex.EncodeToString(sum[:])[:len(want)] != want {
		return damaged("bytes do not match the name")
	}
	return nil
}

// openSlot opens the first key slot that the credential opens.
func (r *Repository) openSlot(c *config, credential *Credential) error {
	tries, opened, failed := 0, error(nil), error(nil) // failed: one that could not even be tried
	sort.Strings(r.names["keys"])
	for _, name := range r.names["keys"] {
		data, err := r.readNamed("keys", name, maxSmallFile)
		var s *slot
		if err == nil {
			s, err = parseSlot(name, data)
		}
		if err != nil {
			r.damage("keys/"+name, err)
			failed = fmt.Errorf("keys/%s: %w", name, err)
			continue
		}
		if s.slotType != credential.slotType || r.keys != nil {
			continue
		}
		if tries++; tries > maxSlots {
			break
		}
		k, err := s.open(c, credential)
		switch {
		case err == nil:
			r.keys = k
		case !errors.Is(err, ErrKey):
			r.damage("keys/"+name, err)
			opened = fmt.Errorf("keys/%s: %w", name, err)
		}
	}
	switch {
	case r.keys != nil:
		return nil
	case opened != nil:
		return opened
	case tries == 0 && failed != nil:
		return failed
	}
	return fmt.Errorf("%w: %d of type %s", ErrKey, tries, credential.slotType)
}

// record reads and opens a record.
func (r *Repository) record(folder, name string, kind byte, limit int) ([]byte, error) {
	data, err := r.readNamed(folder, name, int64(limit)+1024)
	if err != nil {
		return nil, err
	}
	plain, err := r.keys.meta.open(kind, data)
	if err != nil {
		return nil, err
	}
	return unpack(plain, limit)
}

// records opens the records of a folder and reports those that are damaged. What was removed meanwhile is left out.
func (r *Repository) records(folder string, kind byte, limit int, fn func(name string, body []byte) error) {
	for _, name := range r.names[folder] {
		body, err := r.record(folder, name, kind, limit)
		if err == nil {
			err = fn(name, body)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.damage(folder+"/"+name, err)
		}
	}
}

// condemned returns the packs that prune records condemn.
func (r *Repository) condemned() map[string]bool {
	void := map[string]bool{}
	r.records("prune", boxPrune, 64<<20, func(_ string, body []byte) error {
		names, err := parsePrune(body)
		for _, name := range names {
			void[name] = true
		}
		return err
	})
	return void
}

// packRows returns what the index, or the packs themselves, say of all packs.
func (r *Repository) packRows() []packRow {
	if r.opts.UseIndex {
		return r.readIndex()
	}
	var rows []packRow
	for class, folder := range map[byte]string{1: "data", 2: "meta"} {
		for _, name := range r.names[folder] {
			row, err := r.packDirectory(folder, name)
			if err == nil && row.class != class {
				err = damaged("pack of class %d in %s", row.class, folder)
			}
			if err != nil {
				r.damage(r.path(folder, name), err)
				continue
			}
			rows = append(rows, *row)
		}
	}
	return rows
}

func (r *Repository) packDirectory(folder, name string) (*packRow, error) {
	f, size, err := r.openFile(r.path(folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	row, err := readPack(f, size, r.keys)
	if err != nil {
		return nil, err
	}
	id, _ := parseHex(name, 32)
	row.name = [32]byte(id)
	return row, nil
}

// randomFile is a file that can be read anywhere.
type randomFile interface {
	fs.File
	io.ReaderAt
}

func (r *Repository) openFile(path string) (randomFile, int64, error) {
	f, err := r.files.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	random, ok := f.(randomFile)
	if err == nil && !ok {
		err = errors.New("this kind of folder has no random access")
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	return random, info.Size(), nil
}

// readIndex returns the rows of all index files.
func (r *Repository) readIndex() (rows []packRow) {
	r.records("index", boxIndex, 256<<20, func(_ string, body []byte) error {
		_, some, err := parseIndex(body)
		rows = append(rows, some...)
		return err
	})
	return rows
}

// add notes the places of a pack's chunks.
func (r *Repository) add(row packRow) {
	for s, segment := range row.segments {
		for o, id := range segment.ids {
			if len(r.places) == math.MaxInt32-1 {
				panic("verifier: internal error: more than 2^31 chunks")
			}
			r.places = append(r.places, place{int32(len(r.packs)), int32(s), int32(o), r.first[id]})
			r.first[id] = int32(len(r.places)) // one more than its number: zero ends the list
		}
		row.segments[s].ids = nil
	}
	r.packs = append(r.packs, row)
}

// load returns the bytes of a chunk of the kind, compared with its id. They must not be
// changed. Of several places any one that can be read serves.
func (r *Repository) load(kind byte, id chunkID) ([]byte, error) {
	err := damaged("chunk %x is in no pack", id)
	for n := r.first[id]; n != 0; n = r.places[n-1].next {
		chunk, placeErr := r.loadAt(kind, id, r.places[n-1])
		if placeErr == nil {
			return chunk, nil
		}
		err = placeErr
	}
	return nil, err
}

func (r *Repository) loadAt(kind byte, id chunkID, p place) ([]byte, error) {
	pack := &r.packs[p.pack]
	row := &pack.segments[p.segment]
	name := r.packName(pack)
	if row.kind != kind {
		return nil, damaged("%s: chunk %x is of kind %d, want %d", name, id, row.kind, kind)
	}
	chunks, err := r.segment(segmentKey{p.pack, p.segment}, name, row)
	if err != nil {
		if !errors.Is(err, ErrSealed) {
			r.damage(name, err)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	chunk := chunks[p.ordinal]
	if r.keys.idOf(kind, chunk) != id {
		err := damaged("chunk %x has other bytes", id)
		r.damage(name, err)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return chunk, nil
}

func (r *Repository) packName(pack *packRow) string {
	folder := "data"
	if pack.class == 2 {
		folder = "meta"
	}
	return r.path(folder, hex.EncodeToString(pack.name[:]))
}

// segment returns the chunks of a segment, as many and as long as its row says.
func (r *Repository) segment(key segmentKey, name string, row *segmentRow) ([][]byte, error) {
	if e, ok := r.opened[key]; ok {
		r.recent.MoveToFront(e)
		return e.Value.(*openedSegment).chunks, nil
	}
	box := make([]byte, row.length)
	f, _, err := r.openFile(name)
	if err != nil {
		return nil, damaged("%w", err)
	}
	defer f.Close()
	if n, err := f.ReadAt(box, row.offset); n < len(box) {
		return nil, damaged("cut off: %w", err)
	}
	k, err := r.keyFor(row.kind, box)
	if err != nil {
		return nil, err
	}
	var dictionary []byte
	if row.back > 0 {
		at := segmentKey{key.pack, key.segment - int32(row.back)}
		some, err := r.segment(at, name, &r.packs[at.pack].segments[at.segment])
		if err != nil {
			return nil, fmt.Errorf("dictionary: %w", err)
		}
		dictionary = bytes.Join(some, nil)
	}
	chunks, err := openSegment(k, row.kind, box, dictionary)
	if err != nil {
		return nil, err
	}
	if len(chunks) != len(row.lengths) {
		return nil, damaged("segment of %d chunks, directory of %d", len(chunks), len(row.lengths))
	}
	size := 0
	for i, chunk := range chunks {
		if len(chunk) != row.lengths[i] {
			return nil, damaged("chunk of %d bytes, directory of %d", len(chunk), row.lengths[i])
		}
		size += len(chunk)
	}
	r.remember(&openedSegment{key, chunks, size})
	return chunks, nil
}

func (r *Repository) remember(s *openedSegment) {
	r.opened[s.key] = r.recent.PushFront(s)
	for r.cached += s.size; r.cached > cacheSize && r.recent.Len() > 1; {
		old := r.recent.Remove(r.recent.Back()).(*openedSegment)
		delete(r.opened, old.key)
		r.cached -= old.size
	}
}

// keyFor returns the key that opens a segment's box.
func (r *Repository) keyFor(kind byte, box []byte) (*boxKey, error) {
	if kind != boxData {
		return r.keys.meta, nil
	}
	id, err := boxKeyID(box)
	if err != nil {
		return nil, err
	}
	name := hex.EncodeToString(id[:])
	if k := r.content[name]; k != nil {
		return k, nil
	}
	if r.keys.identity == nil {
		return nil, ErrSealed
	}
	k, err := r.contentKey(name)
	if err != nil {
		r.damage("content/"+name, err)
		return nil, damaged("%w", err)
	}
	r.content[name] = k
	return k, nil
}

// contentKey opens a content key, or its copy if it is damaged.
func (r *Repository) contentKey(name string) (*boxKey, error) {
	data, err := r.readFile("content/"+name, maxSmallFile)
	if err == nil {
		var k *boxKey
		if k, err = r.keys.unwrapContentKey(name, data); err == nil {
			return k, nil
		}
	}
	copied, copyErr := r.readFile("copy/content/"+name, maxSmallFile)
	if copyErr != nil {
		return nil, err
	}
	k, copyErr := r.keys.unwrapContentKey(name, copied)
	if copyErr != nil {
		return nil, err
	}
	r.damage("content/"+name, err)
	return k, nil
}

// snapshots returns all snapshots, oldest first, with their labels.
func (r *Repository) snapshots() []*snapshot {
	var all []*snapshot
	r.records("snapshots", boxSnapshot, 4<<20, func(name string, body []byte) error {
		s, err := parseSnapshot(name, body)
		if err == nil {
			all = append(all, s)
		}
		return err
	})
	var labels []*label
	r.records("labels", boxLabel, 4<<20, func(name string, body []byte) error {
		l, err := parseLabel(name, body)
		if err == nil {
			labels = append(labels, l)
		}
		return err
	})
	applyLabels(all, labels)
	sort.Slice(all, func(i, k int) bool {
		if !all[i].time.Equal(all[k].time) {
			return all[i].time.Before(all[k].time)
		}
		return all[i].id < all[k].id
	})
	return all
}
