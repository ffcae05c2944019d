package repo

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapkeep/snap/pack"
)

// fileKind says what a file of a repository is (docs/format.md section 2).
type fileKind uint8

const (
	fileOther fileKind = iota
	fileConfig
	fileSlot
	fileContent
	fileSettings
	fileData
	fileMeta
	fileIndex
	fileSnapshot
	fileLabel
	fileTrash
	filePending
	filePrune
	fileLog
	fileSession
	fileParity
	fileCopy
	fileBad
)

// Prefixes of names that no other package knows.
const (
	logPrefix      = "log/"
	sessionPrefix  = "sessions/"
	parityPrefix   = "parity/"
	copyPrefix     = "copy/"
	badPrefix      = "bad/"
	settingsPrefix = "settings/"
)

// folders tells what stands in the folders whose files have a hash of 64 digits for a name, and nothing else.
var folders = map[string]fileKind{
	"index": fileIndex, "snapshots": fileSnapshot, "labels": fileLabel, "trash": fileTrash,
	"pending": filePending, "prune": filePrune,
}

// splitFolders does so for folders with folders of two digits in them.
var splitFolders = map[string]fileKind{"data": fileData, "meta": fileMeta, "parity": fileParity}

// classify tells what the file of that name is, and the hash that the name has. Names that fit nothing are fileOther.
func classify(name string) (fileKind, pack.ID) {
	folder, rest, ok := strings.Cut(name, "/")
	if !ok {
		if name == "snap.json" {
			return fileConfig, pack.ID{}
		}
		return fileOther, pack.ID{}
	}
	if kind, ok := folders[folder]; ok {
		return hashed(kind, rest)
	}
	if kind, ok := splitFolders[folder]; ok {
		if two, rest, _ := strings.Cut(rest, "/"); len(two) == 2 && strings.HasPrefix(rest, two) {
			return hashed(kind, rest)
		}
		return fileOther, pack.ID{}
	}
	switch folder {
	case "keys":
		return digits(fileSlot, rest, 32)
	case "content":
		return digits(fileContent, rest, 16)
	case "settings":
		if _, ok := parseSettingsName(rest); ok {
			return fileSettings, pack.ID{}
		}
	case "log":
		if number, sum, ok := parseLogName(rest); ok && number > 0 {
			return fileLog, sum
		}
	case "sessions":
		if _, _, ok := parseSessionName(rest); ok {
			return fileSession, pack.ID{}
		}
	case "copy":
		if kind, _ := classify(rest); copied(kind) {
			return fileCopy, pack.ID{}
		}
	case "bad":
		return fileBad, pack.ID{}
	}
	return fileOther, pack.ID{}
}

func hashed(kind fileKind, name string) (fileKind, pack.ID) {
	id, err := pack.ParseID(name)
	if err != nil {
		return fileOther, id
	}
	return kind, id
}

func digits(kind fileKind, name string, n int) (fileKind, pack.ID) {
	if len(name) != n || strings.Trim(name, "0123456789abcdef") != "" {
		return fileOther, pack.ID{}
	}
	return kind, pack.ID{}
}

// copied reports whether there is a second copy of files of the kind.
func copied(kind fileKind) bool {
	switch kind {
	case fileConfig, fileSlot, fileContent, fileSettings, fileIndex, fileSnapshot, fileLabel, filePrune:
		return true
	}
	return false
}

// hashedName reports whether a file's name tells its hash, and if so whether sum is that.
func hashedName(name string, sum pack.ID) (tells, matches bool) {
	kind, id := classify(name)
	switch kind {
	case fileData, fileMeta, fileIndex, fileSnapshot, fileLabel, fileTrash, filePending, filePrune, fileLog:
		return true, sum == id
	case fileSlot:
		return true, strings.HasPrefix(sum.String(), strings.TrimPrefix(name, "keys/"))
	case fileSettings:
		return true, sum.String()[:8] == name[len(settingsPrefix)+9:]
	case fileCopy:
		return hashedName(strings.TrimPrefix(name, copyPrefix), sum)
	}
	return false, false
}

// isUnique reports whether nobody stores anything else under a name: it tells the hash of the file, or it is random.
func isUnique(name string) bool {
	tells, _ := hashedName(name, pack.ID{})
	kind, _ := classify(strings.TrimPrefix(name, copyPrefix))
	return kind == fileSession || kind == fileContent || tells && kind != fileSettings && kind != fileTrash
}

// parseLogName splits the name of a log entry, without the folder.
func parseLogName(name string) (number uint64, sum pack.ID, ok bool) {
	before, after, found := strings.Cut(name, "-")
	number, err := strconv.ParseUint(before, 10, 64)
	if !found || err != nil || len(before) != 10 {
		return 0, sum, false
	}
	sum, err = pack.ParseID(after)
	return number, sum, err == nil
}

// parseSessionName splits the name of a session, without the folder.
func parseSessionName(name string) (run string, number int, ok bool) {
	run, after, found := strings.Cut(name, "-")
	number, err := strconv.Atoi(after)
	if kind, _ := digits(fileSession, run, 32); kind == fileOther || !found || err != nil || len(after) != 6 || number < 0 {
		return "", 0, false
	}
	return run, number, true
}

// packFile is a pack as a listing shows it.
type packFile struct {
	id    pack.ID
	size  int64
	time  int64 // seconds by the clock of the storage
	class pack.Class
}

func (p *packFile) name() string { return pack.Name(p.class, p.id) }

// packFiles are the packs that the store has, ordered by id. They take 56 bytes each.
type packFiles []packFile

// listPacks lists the packs of the store.
func (r *Repo) listPacks(ctx context.Context, from lister) (packFiles, error) {
	var all packFiles
	for _, prefix := range []string{"data/", "meta/"} {
		err := from.List(ctx, prefix, func(name string, size int64, modTime time.Time) error {
			all.add(name, size, modTime)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	all.sort()
	r.dropKept("meta/", func(id pack.ID) bool { return all.find(id) != nil })
	return all, nil
}

// add adds the file of that name if it is a pack.
func (p *packFiles) add(name string, size int64, modTime time.Time) {
	switch kind, id := classify(name); kind {
	case fileData:
		*p = append(*p, packFile{id, size, modTime.Unix(), pack.ClassData})
	case fileMeta:
		*p = append(*p, packFile{id, size, modTime.Unix(), pack.ClassMeta})
	}
}

func (p packFiles) sort() {
	slices.SortFunc(p, func(a, b packFile) int { return bytes.Compare(a.id[:], b.id[:]) })
}

// find returns the pack id, nil if the store has none.
func (p packFiles) find(id pack.ID) *packFile {
	i, ok := slices.BinarySearchFunc(p, id, func(f packFile, id pack.ID) int { return bytes.Compare(f.id[:], id[:]) })
	if !ok {
		return nil
	}
	return &p[i]
}

// insert adds a pack in its place, or replaces what is known of it.
func (p *packFiles) insert(f packFile) {
	i, ok := slices.BinarySearchFunc(*p, f.id, func(f packFile, id pack.ID) int { return bytes.Compare(f.id[:], id[:]) })
	if ok {
		(*p)[i] = f
		return
	}
	*p = slices.Insert(*p, i, f)
}

// remove takes packs out.
func (p *packFiles) remove(ids map[pack.ID]bool) {
	*p = slices.DeleteFunc(*p, func(f packFile) bool { return ids[f.id] })
}
