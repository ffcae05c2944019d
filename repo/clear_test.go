package repo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/pack"
)

// TestNothingIsStoredInClear looks for what is backed up, for what could tell that it is there, and for the secrets, in all bytes of the storage and
// of what the machine keeps. Two repositories that hold the same have no chunk id in common.
func TestNothingIsStoredInClear(t *testing.T) {
	t.Parallel()
	content := "what only its owner may read, " + strings.Repeat("or whoever has a key, ", 5)
	f := files{"folder-of-ann/letter-to-bob": content}
	hash := pack.SumID([]byte(content))
	var ids []pack.ChunkID
	for range 2 {
		store, dir := newElsewhere(), t.TempDir()
		o := Options{Compression: "off", CacheDir: dir + "/cache", StateDir: dir + "/state", Place: "here"}
		r := newTestRepo(t, store, o)
		s := mustBack(t, r, "source-of-ann", f)
		if err := r.Tag(t.Context(), s, []string{"tag-of-ann"}, nil, nil); err != nil {
			t.Fatal(err)
		}
		r = reopen(t, store, o)
		mustRestore(t, r, s, f) // so it is all there
		if err := r.CheckRollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Remember(); err != nil {
			t.Fatal(err)
		}
		entry, err := r.Lookup(t.Context(), s, "folder-of-ann/letter-to-bob")
		if err != nil || len(entry.Parts) != 1 {
			t.Fatalf("%v, %v", entry, err)
		}
		ids = append(ids, entry.Parts[0].ID)

		key := r.secrets.IDKey()
		needles := map[string][]byte{"content": []byte("only its owner"), "folder": []byte("folder-of-ann"), "file": []byte("letter-to-bob"), "source": []byte("source-of-ann"),
			"tag": []byte("tag-of-ann"), "hash of the content": hash[:16], "the same in hex": []byte(hash.String()[:32]), "id key": key[:], "the same in hex too": []byte(hex.EncodeToString(key[:])),
			"polynomial": binary.LittleEndian.AppendUint64(nil, r.secrets.Polynomial()), "identity": []byte("AGE-SECRET-KEY")}
		stored, kept := allStored(t, store), allFiles(t, dir)
		for what, needle := range needles {
			if bytes.Contains(stored, needle) || bytes.Contains(kept, needle) {
				t.Errorf("%s is in clear: in the storage %v, on the machine %v", what, bytes.Contains(stored, needle), bytes.Contains(kept, needle))
			}
		}
		// The search sees what is there.
		if !bytes.Contains(stored, []byte(r.ID())) || !bytes.Contains(kept, []byte(s.ID.String())) || !bytes.Contains(kept, ids[len(ids)-1][:8]) {
			t.Error("not all bytes were looked at")
		}
	}
	if ids[0] == ids[1] {
		t.Errorf("both repositories name the content %s", ids[0])
	}
}

// allStored returns the names and bytes of all files of a store.
func allStored(t *testing.T, store Store) []byte {
	t.Helper()
	var all bytes.Buffer
	err := store.List(t.Context(), "", func(name string, size int64, _ time.Time) error {
		data := make([]byte, size)
		if _, err := store.ReadAt(t.Context(), name, data, 0); err != nil {
			return err
		}
		all.WriteString(name)
		all.Write(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

// allFiles returns the names and bytes of all files below a folder.
func allFiles(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.WriteString(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}
