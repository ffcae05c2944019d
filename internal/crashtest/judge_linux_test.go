package crashtest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// operation is a call of the program that changes something.
type operation struct {
	name string
	args []string
	ids  []string // snapshots that it is about
	want manifest // of a backup
}

// command returns the operation of a name, for what the world holds; false if there is nothing for it to do.
func (w *world) command(name string) (operation, bool) {
	w.Helper()
	op := operation{name: name}
	switch name {
	case "backup":
		op.args, op.want = []string{"backup", "--json", w.source}, manifestOf(w, w.source)
	case "forget", "forget --now":
		all := w.withFate(live)
		if len(all) < 2 {
			return op, false
		}
		w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		op.ids = all[:1+w.rng.IntN(min(3, len(all)-1))]
		op.args = append(strings.Fields(name), op.ids...)
	case "undelete":
		op.ids = w.withFate(trashed)
		if len(op.ids) == 0 {
			return op, false
		}
		op.ids = op.ids[:1]
		op.args = append([]string{"undelete"}, op.ids...)
	case "prune":
		op.args = []string{"prune", "--max-unused", "0%"}
	case "prune --now":
		op.args = []string{"prune", "--now", "--max-unused", "0%"}
	default:
		op.args = strings.Fields(name)
	}
	return op, true
}

func (w *world) withFate(f fate) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(w.known)) {
		if w.known[id].fate == f {
			out = append(out, id)
		}
	}
	return out
}

// account notes what an operation was reported to have done, and what it may have done.
func (w *world) account(op operation, out outcome) {
	w.Helper()
	done := out.code == 0 && !out.killed
	switch op.name {
	case "backup":
		w.attempt = op.want
		id := out.saved()
		switch {
		case id == "" && done:
			w.Errorf("a backup succeeded and named no snapshot: %q", out.stdout)
		case id != "" && (done || out.killed):
			w.known[id] = &known{want: op.want}
		case id != "":
			w.known[id] = &known{} // partial: it tells itself what it lacks
		}
	case "forget":
		w.mark(op.ids, moving)
		if done {
			w.mark(op.ids, trashed)
		}
	case "forget --now":
		w.mark(op.ids, doomed)
	case "undelete":
		w.mark(op.ids, moving)
		if done {
			w.mark(op.ids, live)
		}
	case "prune", "prune --now":
		w.mark(w.withFate(trashed), doomed)
	}
}

func (w *world) mark(ids []string, f fate) {
	for _, id := range ids {
		w.known[id].fate = f
	}
}

// listed is a snapshot in a listing of the program.
type listed struct {
	ID    string   `json:"id"`
	Marks []string `json:"marks"`
}

func (w *world) list(command string) map[string]listed {
	w.Helper()
	var all []listed
	out := w.must(command, "--json")
	if err := json.Unmarshal([]byte(out.stdout), &all); err != nil {
		w.Fatalf("%s: %v: %q", command, err, out.stdout)
	}
	byID := map[string]listed{}
	for _, s := range all {
		byID[s.ID] = s
	}
	return byID
}

// settle looks where the snapshots are, and complains of those that are lost.
func (w *world) settle() {
	w.Helper()
	here, trash := w.list("snapshots"), map[string]listed{}
	if len(w.withFate(live)) < len(w.known) {
		trash = w.list("undelete")
	}
	for id, k := range w.known {
		_, isHere := here[id]
		_, inTrash := trash[id]
		if (k.fate == live && !isHere) || (k.fate == trashed && !inTrash) || (k.fate == moving && !isHere && !inTrash) {
			w.Errorf("snapshot %s: fate %d, is listed: %v, in the trash: %v", id, k.fate, isHere, inTrash)
		}
		switch {
		case isHere:
			k.fate = live
		case inTrash:
			k.fate = trashed
		default:
			delete(w.known, id)
		}
	}
	for id, s := range here {
		if w.known[id] == nil { // stored, and cut off before it was reported
			w.known[id] = &known{want: w.attempt}
			if slices.Contains(s.Marks, "partial") {
				w.known[id].want = nil
			}
		}
	}
}

// judge compares what the verifier reads with what was saved.
func (w *world) judge() {
	w.Helper()
	found := w.verify(w.rng.IntN(2) == 0)
	for _, id := range w.withFate(live) {
		got, ok := found[id]
		if !ok {
			w.Errorf("the verifier does not see snapshot %s", id)
			continue
		}
		if want := w.known[id].want; want != nil {
			if d := want.diff(got); d != "" {
				w.Errorf("the verifier reads snapshot %s: %s", id, d)
			}
		}
	}
}

// check has the program check all it has.
func (w *world) check(flags ...string) {
	w.Helper()
	args := append([]string{"check", "--json"}, flags...)
	if out := w.run(args...); out.code != 0 {
		w.Errorf("%q: %s", args, out.String())
	}
}

// restore has the program restore a snapshot, and compares.
func (w *world) restore(id string) {
	w.Helper()
	target := filepath.Join(filepath.Dir(w.state), "restored")
	out := w.run("restore", "--json", id+":"+w.source, "--target", target)
	want := w.known[id].want
	if out.code != 0 {
		w.Errorf("restore of %s: %s", id, out.String())
	} else if want != nil {
		if d := want.diff(manifestOf(w, target)); d != "" {
			w.Errorf("restore of %s: %s", id, d)
		}
	}
	if err := os.RemoveAll(target); err != nil {
		w.Error(err)
	}
}

// next runs a backup as if nothing had happened before. It has to succeed.
func (w *world) next() {
	w.Helper()
	op, _ := w.command("backup")
	out := w.run(op.args...)
	if out.code != 0 {
		w.Errorf("the next run: %s", out.String())
	}
	w.account(op, out)
	w.settle()
}
