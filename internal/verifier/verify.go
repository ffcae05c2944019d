package verifier

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/zeebo/blake3"
)

// Verify compares the bytes of every file of the store with its name, opens what the key
// opens, and writes a line to out for each file of each snapshot:
//
//	snapshot "path" kind mode uid:gid size seconds.nanoseconds hash attributes…
//
// The path is quoted as Go quotes strings. The hash is the BLAKE3 of the file's content, - for what is no
// regular file, unreadable for a file that could not be read when it was backed up, sealed for one that the
// key slot may not read, damaged for one that is. Attributes are target, device, links, xattrs and marks. The error is
// that of out.
func (r *Repository) Verify(out io.Writer) error {
	r.checkPacks()
	for _, c := range []struct {
		folder string
		kind   byte
		limit  int
	}{{"trash", boxSnapshot, 4 << 20}, {"pending", boxSnapshot, 4 << 20}, {"index", boxIndex, 256 << 20}, {"log", boxLog, 4 << 20},
		{"prune", boxPrune, 64 << 20}, {"settings", boxSettings, 4 << 20}, {"sessions", boxSession, 64 << 10}} {
		r.records(c.folder, c.kind, c.limit, func(name string, body []byte) error { return checkRecord(c.folder, name, body) })
	}
	r.checkContentKeys()
	r.checkCopies()
	r.checkParity()
	for _, s := range r.snapshots() {
		if err := r.listSnapshot(out, s); err != nil {
			return err
		}
	}
	return nil
}

// checkRecord checks the body of a record that tells nothing about files.
func checkRecord(folder, name string, body []byte) error {
	switch folder {
	case "trash", "pending":
		_, err := parseSnapshot(name, body)
		return err
	case "index":
		_, _, err := parseIndex(body)
		return err
	}
	o, err := parseObject(body)
	if err == nil {
		err = o.version()
	}
	return err
}

// checkPacks compares packs with their names, which are hashes of their bytes.
func (r *Repository) checkPacks() {
	for _, folder := range []string{"data", "meta"} {
		for _, name := range r.names[folder] {
			path := r.path(folder, name)
			if err := r.checkPack(path, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.damage(path, err)
			}
		}
	}
}

func (r *Repository) checkPack(path, name string) error {
	f, err := r.files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := blake3.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != name {
		return damaged("bytes do not match the name")
	}
	return nil
}

// checkContentKeys opens all content keys: their names say nothing of their files' bytes.
func (r *Repository) checkContentKeys() {
	if r.keys.identity == nil {
		return
	}
	for _, name := range r.names["content"] {
		if _, err := r.contentKey(name); err != nil {
			r.damage("content/"+name, err)
		}
	}
}

func (r *Repository) listSnapshot(out io.Writer, s *snapshot) error {
	var failed error
	r.walk(s.root, func(dir string, entries []entry) {
		for i := range entries {
			e := &entries[i]
			path := join(dir, e.name)
			line := fmt.Sprintf("%s %q %s %04o %d:%d %d %d.%09d %s%s\n", s.id, path, kindName(e.kind), e.owner.mode, e.owner.uid, e.owner.gid,
				e.size, e.mtime.sec, e.mtime.nsec, r.hash(s, path, e), e.attributes())
			if _, err := io.WriteString(out, line); err != nil && failed == nil {
				failed = err
			}
		}
	}, func(err error) { r.damage("snapshot "+s.id+": "+err.Error(), err) })
	return failed
}

func kindName(kind byte) string {
	return [...]string{"?", "file", "dir", "symlink", "fifo", "socket", "chardev", "blockdev"}[kind]
}

// attributes returns what only some entries have, each with a space in front.
func (e *entry) attributes() string {
	var b strings.Builder
	if e.kind == kindSymlink {
		fmt.Fprintf(&b, " target=%q", e.target)
	}
	if e.kind == kindCharDevice || e.kind == kindBlockDevice {
		fmt.Fprintf(&b, " device=%d", e.rdev)
	}
	if e.links > 1 {
		fmt.Fprintf(&b, " links=%d inode=%d:%d", e.links, e.device, e.inode)
	}
	for _, a := range e.attrs {
		fmt.Fprintf(&b, " xattr=%q:%q", a[0], a[1])
	}
	if e.marks != 0 {
		fmt.Fprintf(&b, " marks=%d", e.marks)
	}
	return b.String()
}

var zeros [64 << 10]byte

// hash returns the word that stands for a file's content.
func (r *Repository) hash(s *snapshot, path string, e *entry) string {
	switch {
	case e.kind != kindFile:
		return "-"
	case e.marks&unreadable != 0 && len(e.parts) == 0:
		return "unreadable"
	}
	h := blake3.New()
	err := r.eachPart(e, func(chunk []byte, hole int64) error {
		h.Write(chunk)
		for ; hole > 0; hole -= int64(len(zeros)) {
			h.Write(zeros[:min(hole, int64(len(zeros)))])
		}
		return nil
	})
	if errors.Is(err, ErrSealed) {
		return "sealed"
	}
	if err != nil {
		r.damage(fmt.Sprintf("snapshot %s: %q", s.id, path), err)
		return "damaged"
	}
	return hex.EncodeToString(h.Sum(nil))
}
