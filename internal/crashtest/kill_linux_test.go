package crashtest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKill kills the program at random moments of everything that writes.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	w := newWorld(t, seed(1), 25)
	kills := map[string]int{}
	usual := map[string]time.Duration{}
	total, struck := 0, 0
	for want := size(25, 1000); total < want && !t.Failed(); {
		w.mutate()
		op, ok := w.command(w.pick())
		if !ok {
			continue
		}
		if usual[op.name] == 0 {
			usual[op.name] = 50 * time.Millisecond
		}
		// The first milliseconds only start the process.
		out := w.start(3*time.Millisecond+time.Duration(w.rng.Int64N(int64(usual[op.name]))), w.snap, op.args...)
		if out.killed {
			kills[op.name]++
			total++
		} else {
			usual[op.name] = max(10*time.Millisecond, (usual[op.name]+out.took)/2)
			if out.code != 0 {
				t.Errorf("%s: %s", op.name, out.String())
			}
		}
		w.account(op, out)
		if w.rng.IntN(3) == 0 && struck < 3 {
			struck++ // the next one comes right upon it
			w.settle()
			continue
		}
		struck = 0
		w.recovered(total)
		if t.Failed() {
			t.Logf("after %d kills, the last in %q: %s", total, op.args, out.String())
		}
	}
	t.Logf("kills: %v", kills)
	if !w.hasDictionaries() {
		t.Error("no pack has dictionaries: this test does not show what becomes of them")
	}
	w.cleanedUp()
}

// pick draws the next operation.
func (w *world) pick() string {
	if w.rng.IntN(4) == 0 {
		w.age(9 * 24 * time.Hour) // so that prune has something to do
	}
	shares := []struct {
		share int
		name  string
	}{{30, "backup"}, {18, "forget"}, {6, "forget --now"}, {16, "prune"}, {16, "prune --now"}, {9, "undelete"}, {3, "check"}, {3, "repair"}}
	n := w.rng.IntN(101)
	for _, s := range shares {
		if n -= s.share; n < 0 && (s.name != "repair" || w.has(s.name)) {
			return s.name
		}
	}
	return "backup"
}

// has reports whether the program has a command.
func (w *world) has(command string) bool {
	return strings.Contains(w.run(command, "--help").stdout, "snap "+command)
}

// recovered looks whether all is as it should be after a kill.
func (w *world) recovered(n int) {
	w.Helper()
	w.settle()
	w.next()
	switch n % 6 {
	case 0:
		w.check("--read-data")
	case 2, 4:
		w.check()
	}
	w.judge()
	all := w.withFate(live)
	w.restore(all[w.rng.IntN(len(all))])
	if len(all) > 12 {
		w.thin(all)
	}
}

// thin forgets half of the snapshots, so that prune has something to do.
func (w *world) thin(all []string) {
	w.Helper()
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	op := operation{name: "forget", ids: all[:len(all)/2]}
	out := w.must(append([]string{"forget"}, op.ids...)...)
	w.account(op, out)
	w.settle()
}

// cleanedUp prunes, and looks whether anything is left that does not belong.
func (w *world) cleanedUp() {
	w.Helper()
	if w.Failed() {
		return
	}
	all := w.withFate(live)
	for _, id := range all {
		w.restore(id)
	}
	w.next()
	keep := w.must("snapshots", "latest", "--json")
	for _, id := range w.withFate(live) {
		if !strings.Contains(keep.stdout, id) {
			w.must("forget", "--now", id)
			w.known[id].fate = doomed
		}
	}
	w.mark(w.withFate(trashed), doomed)
	w.must("prune", "--now", "--max-unused", "0%")
	w.must("prune", "--now", "--max-unused", "0%")
	w.settle()
	w.check("--read-data")
	w.judge()
	var prune struct {
		Bytes     struct{ Used, Unused int64 }
		Packfiles struct{ Used, Unused, Remaining int64 }
		Waiting   int64 `json:"bytes_waiting"`
		Orphans   int   `json:"orphan_packs"`
		Missing   int   `json:"missing_chunks"`
	}
	if err := json.Unmarshal([]byte(w.must("prune", "--dry-run", "--json").stdout), &prune); err != nil {
		w.Fatal(err)
	}
	left := bytesBelow(w, w.repo())
	packs := left["data"] + left["meta"]
	if prune.Packfiles.Unused+prune.Waiting+prune.Bytes.Unused != 0 || prune.Orphans+prune.Missing != 0 || packs > prune.Bytes.Used*21/20+prune.Packfiles.Used*8192 {
		w.Errorf("prune leaves %+v, %d bytes of packs", prune, packs)
	}
	for _, folder := range []string{"sessions", "tmp"} {
		if left[folder] > 0 {
			w.Errorf("%s: %d bytes are left", folder, left[folder])
		}
	}
	w.noWidows()
	w.emptyTrash()
	w.Logf("bytes left: %v", left)
}

// emptyTrash looks whether the trash holds nothing that could be brought back, and nothing at all after a while: the copy of a snapshot that
// was brought back stays for a time.
func (w *world) emptyTrash() {
	w.Helper()
	for _, path := range w.inTrash() {
		if _, err := os.Lstat(filepath.Join(w.repo(), "snapshots", filepath.Base(path))); err != nil {
			w.Errorf("%s is left: %v", path, err)
		}
	}
	w.age(25 * time.Hour)
	w.must("prune", "--now")
	if left := w.inTrash(); len(left) > 0 {
		w.Errorf("%q are left after a while", left)
	}
}

func (w *world) inTrash() []string {
	w.Helper()
	all, err := filepath.Glob(filepath.Join(w.repo(), "trash", "*"))
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// noWidows complains of parity and copies that outlived what they are for.
func (w *world) noWidows() {
	w.Helper()
	for _, folder := range []string{"parity", "copy"} {
		top := filepath.Join(w.repo(), folder)
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
				return nil
			}
			rel, relErr := filepath.Rel(top, path)
			if err != nil || relErr != nil {
				return errors.Join(err, relErr)
			}
			for _, place := range map[string][]string{"parity": {"data", "meta"}, "copy": {""}}[folder] {
				if _, err := os.Lstat(filepath.Join(w.repo(), place, rel)); err == nil {
					return nil
				}
			}
			w.Errorf("%s/%s: what it is for is gone", folder, rel)
			return nil
		})
		if err != nil {
			w.Error(err)
		}
	}
}

// bytesBelow returns how much the files in each folder of a repository hold.
func bytesBelow(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		folder, _, _ := strings.Cut(rel, "/")
		out[folder] += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
