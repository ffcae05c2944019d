package repo

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/store/mem"
)

// watched is a repository in memory that a machine has seen.
type watched struct {
	testing.TB
	clock *clock
	store *mem.Store
	o     Options
}

func newWatched(t testing.TB) *watched {
	c := newClock()
	w := &watched{TB: t, clock: c, store: c.store(), o: c.options()}
	w.o.StateDir, w.o.Place = t.TempDir(), "here"
	r := newTestRepo(t, w.store, w.o)
	mustBack(t, r, "a", files{"f": "1"})
	mustBack(t, r, "b", files{"f": "2"})
	w.end(r)
	return w
}

// begin opens the repository, as a run does, and compares.
func (w *watched) begin() (*Repo, error) {
	w.Helper()
	r := reopen(w, w.store, w.o)
	return r, r.CheckRollback(w.Context())
}

// must expects that there was no rollback.
func (w *watched) must() *Repo {
	w.Helper()
	r, err := w.begin()
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *watched) end(r *Repo) {
	w.Helper()
	if err := r.Remember(); err != nil {
		w.Fatal(err)
	}
}

// newest returns the newest snapshot of source a.
func (w *watched) newest(r *Repo) *Snapshot {
	w.Helper()
	all, err := r.Snapshots(w.Context(), Filter{Sources: []string{"a"}})
	if err != nil || len(all) == 0 {
		w.Fatal(err, len(all))
	}
	return all[len(all)-1]
}

func (w *watched) remove(name string) {
	w.Helper()
	if err := w.store.Remove(w.Context(), name); err != nil {
		w.Fatal(err)
	}
}

// elsewhere opens the repository on another machine.
func (w *watched) elsewhere() *Repo {
	o := w.o
	o.StateDir = ""
	return reopen(w, w.store, o)
}

// TestRollback does things to a repository between two runs of a machine.
func TestRollback(t *testing.T) {
	for _, c := range []struct {
		name       string
		between    func(w *watched)
		rolledBack bool
	}{
		{"nothing", func(*watched) {}, false},
		{"the newest snapshot of one source is removed", func(w *watched) {
			w.remove("snapshots/" + w.newest(w.elsewhere()).ID.String())
		}, true},
		{"the storage is put back", func(w *watched) {
			yesterday := w.store.Clone()
			r := w.must()
			mustBack(w, r, "a", files{"f": "3"})
			w.end(r)
			w.store = yesterday
		}, true},
		{"the storage is put back to before something was forgotten", func(w *watched) {
			r := w.must()
			first := w.newest(r)
			mustBack(w, r, "a", files{"f": "3"})
			w.end(r)
			yesterday := w.store.Clone()
			r = w.must()
			mustForget(w, r, ForgetOptions{}, first)
			w.end(r)
			w.store = yesterday
		}, true},
		{"one of many sources loses its newest snapshot", func(w *watched) {
			r := w.must()
			for _, name := range []string{"c", "d", "e", "f", "g"} {
				mustBack(w, r, name, files{"f": name})
			}
			w.end(r)
			w.must()
			w.remove("snapshots/" + w.newest(w.elsewhere()).ID.String())
		}, true},
		{"another machine made a snapshot", func(w *watched) { mustBack(w, w.elsewhere(), "a", files{"f": "3"}) }, false},
		{"this machine forgot the newest", func(w *watched) {
			r := w.must()
			first := w.newest(r)
			mustForget(w, r, ForgetOptions{AllowAll: true}, first)
			w.end(r)
		}, false},
		{"this machine was cut off while it removed the newest", func(w *watched) {
			r := w.must()
			first := w.newest(r)
			r.letGo([]*Snapshot{first}, map[SnapshotID]bool{first.ID: true})
			w.remove("snapshots/" + first.ID.String())
		}, false},
		{"another machine forgot the newest", func(w *watched) {
			r := w.elsewhere()
			mustForget(w, r, ForgetOptions{AllowAll: true}, w.newest(r))
		}, false},
		{"another machine forgot the newest for good", func(w *watched) {
			r := w.elsewhere()
			mustForget(w, r, ForgetOptions{AllowAll: true, Now: true}, w.newest(r))
		}, false},
		{"another machine forgot the newest and emptied the trash", func(w *watched) {
			r := w.elsewhere()
			mustForget(w, r, ForgetOptions{AllowAll: true}, w.newest(r))
			w.clock.sleep(DefaultGraceTrash + 1)
			mustPrune(w, r, PruneOptions{})
		}, false},
		{"the newest was forgotten, brought back and removed", func(w *watched) {
			r := w.elsewhere()
			first := w.newest(r)
			mustForget(w, r, ForgetOptions{AllowAll: true}, first)
			if _, err := r.Undelete(w.Context(), []SnapshotID{first.ID}); err != nil {
				w.Fatal(err)
			}
			w.remove("snapshots/" + first.ID.String())
			w.remove("trash/" + first.ID.String())
		}, true},
		{"the newest entry of the log is removed", func(w *watched) {
			r := w.must()
			mustBack(w, r, "a", files{"f": "3"})
			first := w.newest(r)
			mustBack(w, r, "a", files{"f": "4"})
			mustForget(w, r, ForgetOptions{}, first)
			w.end(r)
			w.remove(names(w, w.store, "log/")[0])
		}, true},
		{"an older copy at another place is looked at", func(w *watched) {
			w.o.Place = "there"
			w.remove("snapshots/" + w.newest(w.elsewhere()).ID.String())
		}, false},
		{"what was remembered is damaged", func(w *watched) {
			all, err := filepath.Glob(filepath.Join(w.o.StateDir, "*.json"))
			if err != nil || len(all) != 1 {
				w.Fatal(all, err)
			}
			if err := os.WriteFile(all[0], []byte(`{"version":1,"places":{"here":null`), 0o600); err != nil {
				w.Fatal(err)
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatched(t)
			c.between(w)
			r, err := w.begin()
			if errors.Is(err, ErrRolledBack) != c.rolledBack || (err != nil && !c.rolledBack) {
				t.Fatal(err)
			}
			if !c.rolledBack {
				mustBack(t, r, "a", files{"f": "5"})
				w.end(r)
				w.must()
				return
			}
			// It is an error until somebody accepts it.
			if _, err := w.begin(); !errors.Is(err, ErrRolledBack) {
				t.Errorf("again: %v", err)
			}
			w.o.AcceptRollback = true
			r = w.must()
			mustBack(t, r, "a", files{"f": "5"})
			w.end(r)
			w.o.AcceptRollback = false
			w.must()
		})
	}
}

// TestForeignSecrets puts a key slot with other secrets, made for the same person, in place of the one.
func TestForeignSecrets(t *testing.T) {
	w := newWatched(t)
	to, err := keyring.ForPassphrase("correct horse", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	config, err := keyring.LoadConfig(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	poly, err := chunker.RandomPolynomial(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := keyring.NewSecrets(rand.Reader, uint64(poly), map[string]keyring.Chunker{
		keyring.ClassFiles: chunkerClass(chunker.Files(poly)), keyring.ClassDatabase: chunkerClass(chunker.Database(poly))})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t, w.store, "keys/") {
		w.remove(name)
	}
	if _, err := keyring.AddSlot(t.Context(), w.store, config, foreign, to, keyring.SlotOptions{Role: RoleFull, Created: w.clock.now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(t, w.store, w.o); !errors.Is(err, ErrRolledBack) {
		t.Errorf("open: %v", err)
	}
	w.o.StateDir = t.TempDir()
	if _, err := tryOpen(t, w.store, w.o); err != nil {
		t.Errorf("a machine that has seen nothing: %v", err)
	}
}
