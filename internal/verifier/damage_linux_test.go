package verifier

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapkeep/snap/repo"
	"github.com/zeebo/blake3"
)

// smallWorld makes a repository of some 3 MB in a dozen packs, with three snapshots of a tree of several pages.
func smallWorld(t testing.TB, parity repo.ParityMode) *world {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	random := rand.New(rand.NewPCG(1, 2))
	for d := range 8 {
		for f := range 60 {
			write(t, fmt.Sprintf("%s/dir%d/file%d.%c", tree, d, f, 'a'+f%5), noise(uint64(d*1000+f), 1+random.IntN(400)))
		}
	}
	write(t, tree+"/large", noise(7, 1<<20))
	dump := func(day int) {
		var b bytes.Buffer
		for i := range 20_000 {
			fmt.Fprintf(&b, "INSERT INTO orders VALUES (%d, 'customer %x', 'paid', '2026-11-%02d');\n", i, noise(uint64(i*7919%1500), 8), 1+i%28)
		}
		for at := 60_000 + day*5000; at < b.Len()-100; at += 130_000 {
			copy(b.Bytes()[at:], "changed today")
		}
		write(t, tree+"/shop.sql", b.Bytes())
	}
	r, dir := newWorld(t, parity)
	w := &world{dir: dir}
	for day := range 3 {
		dump(day)
		for f := range 40 {
			write(t, fmt.Sprintf("%s/dir%d/file%d.x", tree, 2*day, f), noise(uint64(f+day*77000), 3000))
		}
		w.backup(t, r, tree)
	}
	if primed := packsOfVersion(t, dir, 2); primed < 2 {
		t.Fatalf("%d packs with dictionaries: the damage would miss them", primed)
	}
	return w
}

// packsOfVersion counts the data packs of a version.
func packsOfVersion(t testing.TB, dir string, version byte) (n int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "data", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if data[len(data)-footerSize+8] == version {
			n++
		}
	}
	return n
}

// damage is what was done to one file of the store.
type damage struct{ path, how string }

// damagedCopy makes a copy of the folder from in which one file is damaged, at random. Others are linked.
func damagedCopy(t testing.TB, from string, random *rand.Rand) (string, damage) {
	t.Helper()
	to := t.TempDir()
	var paths []string
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rest, _ := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rest), 0o755)
		case rest == "snap.json" || strings.HasPrefix(rest, "keys/"):
		default:
			paths = append(paths, rest)
		}
		return os.Link(path, filepath.Join(to, rest))
	})
	if err != nil {
		t.Fatal(err)
	}
	d := damage{path: paths[random.IntN(len(paths))]}
	data, err := os.ReadFile(filepath.Join(from, d.path))
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(to, d.path))
	at := random.IntN(len(data))
	switch random.IntN(5) {
	case 0:
		d.how = "removed"
		return to, d
	case 1:
		d.how = fmt.Sprintf("cut to %d of %d", at, len(data))
		data = data[:at]
	case 2:
		d.how = "a byte longer"
		data = append(data, 0)
	case 3:
		n := min(len(data)-at, 1+random.IntN(5000))
		d.how = fmt.Sprintf("%d bytes at %d of %d set to zero", n, at, len(data))
		data[at] |= 1 // make sure that something changes
		clear(data[at : at+n])
		if orig, _ := os.ReadFile(filepath.Join(from, d.path)); bytes.Equal(orig, data) {
			data[at] ^= 1
		}
	default:
		d.how = fmt.Sprintf("a bit flipped at %d of %d", at, len(data))
		data[at] ^= 1 << random.IntN(8)
	}
	write(t, filepath.Join(to, d.path), data)
	return to, d
}

// readAll reads what the engine can read of the repository: the hash of each regular file of each snapshot. Files that
// cannot be read are not there.
func readAll(t testing.TB, dir string, known map[string]string) (read map[string]string, damaged bool) {
	t.Helper()
	store, err := repo.OpenStore(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := repo.Passphrase(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), store, c, repo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	all, err := r.Snapshots(t.Context(), repo.Filter{})
	note := func(err error) {
		if err != nil && !repo.IsDamage(err) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is no damage", err)
		}
		damaged = damaged || err != nil
	}
	note(err)
	read = map[string]string{}
	for _, s := range all {
		id := s.ID.String()
		dirs := map[string]bool{}
		for path := range known {
			if dir, ok := strings.CutPrefix(filepath.Dir(path), id+" "); ok {
				dirs[dir] = true
			}
		}
		for dir := range dirs {
			entries, err := r.ReadDir(t.Context(), s, dir)
			note(err)
			for i := range entries {
				x := &entries[i]
				if len(x.Parts) == 0 { // no file with content
					continue
				}
				f, err := r.OpenEntry(t.Context(), x)
				h := blake3.New()
				if err == nil {
					_, err = io.Copy(h, f)
				}
				note(err)
				if err == nil {
					read[id+" "+dir+"/"+x.Name] = hex.EncodeToString(h.Sum(nil))
				}
			}
		}
	}
	return read, damaged
}

// hashes returns the hash of each regular file by snapshot and path, from the lines of Verify.
func hashes(lines []string) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		words := strings.Split(l, " ")
		if len(words) > 7 && words[2] == "file" && len(words[7]) == 64 && strings.Contains(l, "/tree/") {
			m[words[0]+" "+strings.Trim(words[1], `"`)] = words[7]
		}
	}
	return m
}

func TestVerifierAndEngineAgreeOnDamage(t *testing.T) {
	bare, protected := smallWorld(t, repo.ParityOff), smallWorld(t, repo.ParityOn)
	for _, w := range []*world{bare, protected} {
		if got, damaged := readAll(t, w.dir, hashes(w.want)); damaged || !maps.Equal(got, hashes(w.want)) {
			t.Fatalf("the engine reads %d of %d files, damaged: %v", len(got), len(w.want), damaged)
		}
	}
	rounds := 60
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		rounds = 1000
	}
	for round := range rounds {
		w := bare
		if round%4 == 3 {
			w = protected
		}
		w.damageOne(t, round)
	}
}

// damageOne damages a file of the store, and compares what the verifier and the engine read: by the index in most
// rounds, else without it.
func (w *world) damageOne(t *testing.T, round int) {
	t.Helper()
	useIndex := round%2 == 0 || round%8 == 3
	known := hashes(w.want)
	dir, d := damagedCopy(t, w.dir, rand.New(rand.NewPCG(uint64(round), 3)))
	engine, engineDamaged := readAll(t, dir, known)
	lines, damage := verify(t, dir, useIndex)
	got := hashes(lines)
	for path, hash := range got {
		if known[path] != hash {
			t.Fatalf("round %d, %v: %q has the hash %s, want %s", round, d, path, hash, known[path])
		}
	}
	// By the index both must read the same. Without it there may be more, if the index was damaged, or less, if a
	// pack's directory was.
	inIndex := strings.HasPrefix(d.path, "index/")
	if useIndex && !maps.Equal(got, engine) {
		t.Errorf("round %d, %v: the verifier reads %d files, the engine %d, damaged: %.300q", round, d, len(got), len(engine), damage)
	}
	if inIndex && !useIndex && len(got) != len(known) {
		t.Errorf("round %d, %v: %d of %d files without the index", round, d, len(got), len(known))
	}
	if d.how != "removed" && !slices.ContainsFunc(damage, func(what string) bool { return strings.HasPrefix(what, d.path) }) {
		t.Errorf("round %d, %v: not named: %.300q", round, d, damage)
	}
	if engineDamaged && len(damage) == 0 && (useIndex || !inIndex) {
		t.Errorf("round %d, %v: the engine finds damage, the verifier none", round, d)
	}
}

func TestOpenTellsWhyNot(t *testing.T) {
	_, dir := newWorld(t, repo.ParityOff)
	open := func(dir, passphrase string) error {
		c, err := Passphrase(passphrase)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(os.DirFS(dir), c, Options{})
		return err
	}
	if err := open(dir, "wrong"); !errors.Is(err, ErrKey) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if err := open(t.TempDir(), passphrase); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no repository: %v", err)
	}
	config, err := os.ReadFile(dir + "/snap.json")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/snap.json", bytes.Replace(config, []byte(`"version":1`), []byte(`"version":2`), 1))
	if err := open(dir, passphrase); !errors.Is(err, ErrNewer) {
		t.Errorf("newer version: %v", err)
	}
	write(t, dir+"/snap.json", append(config, ' '))
	if err := open(dir, passphrase); !errors.Is(err, ErrDamaged) {
		t.Errorf("another snap.json: %v", err)
	}
}
