package faulty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo/storetest"
)

// plain hides the ability to spool.
type plain struct{ store.Store }

// TestWrappersKeepTheContract runs the conformance suite through wrappers that
// have nothing to do.
func TestWrappersKeepTheContract(t *testing.T) {
	t.Parallel()
	wrappers := map[string]func(s store.Store) store.Store{
		"Injector": func(s store.Store) store.Store { return NewInjector().Wrap(s) },
		"Damage":   func(s store.Store) store.Store { return Damage{}.Wrap(s) },
		"Disk":     func(store.Store) store.Store { return NewDisk(nil) },
		"Delayed":  func(s store.Store) store.Store { return NewDelayed(s, time.Now, RandomDelay(1, 0)).Client(1) },
		"Counter":  func(s store.Store) store.Store { return new(Counter).Wrap(s) },
	}
	for name, wrap := range wrappers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Test(t, func(*testing.T) storetest.Store { return wrap(mem.New(nil)) })
		})
		if _, ok := wrap(mem.New(nil)).(store.Spooler); !ok {
			t.Errorf("%s of a Spooler is none", name)
		}
		if _, ok := wrap(plain{mem.New(nil)}).(store.Spooler); ok && name != "Disk" {
			t.Errorf("%s of a store that is no Spooler is one", name)
		}
	}
}

func create(t *testing.T, s store.Store, name, data string) {
	t.Helper()
	if err := tryCreate(s, name, data); err != nil {
		t.Fatalf("Create %q: %v", name, err)
	}
}

func tryCreate(s store.Store, name, data string) error {
	return s.Create(context.Background(), name, strings.NewReader(data), int64(len(data)))
}

func trySpool(s store.Store, name, data string) error {
	w, commit, err := s.(store.Spooler).Spool(context.Background())
	if err != nil {
		return err
	}
	defer w.Close()
	if n, err := io.WriteString(w, data); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	return commit(context.Background(), name)
}

func read(t *testing.T, s store.Store, name string) []byte {
	t.Helper()
	size, _, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatalf("Stat %q: %v", name, err)
	}
	p := make([]byte, size)
	if n, err := s.ReadAt(t.Context(), name, p, 0); int64(n) != size || err != nil && err != io.EOF {
		t.Fatalf("ReadAt %q: %d bytes, error %v", name, n, err)
	}
	return p
}

func names(t *testing.T, s store.Store) string {
	t.Helper()
	var found []string
	err := s.List(t.Context(), "", func(name string, _ int64, _ time.Time) error {
		found = append(found, name)
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func TestInjectorFailsTheChosenOperation(t *testing.T) {
	t.Parallel()
	operations := map[Class]func(s store.Store) error{
		Create: func(s store.Store) error { return tryCreate(s, "new", "data") },
		ReadAt: func(s store.Store) error {
			_, err := s.ReadAt(context.Background(), "old", make([]byte, 2), 0)
			return err
		},
		List: func(s store.Store) error {
			return s.List(context.Background(), "", func(string, int64, time.Time) error { return nil })
		},
		Remove:     func(s store.Store) error { return s.Remove(context.Background(), "old") },
		Stat:       func(s store.Store) error { _, _, err := s.Stat(context.Background(), "old"); return err },
		Spool:      func(s store.Store) error { return trySpool(s, "new", "data") },
		SpoolWrite: func(s store.Store) error { return trySpool(s, "new", "data") },
		Commit:     func(s store.Store) error { return trySpool(s, "new", "data") },
	}
	for class, run := range operations {
		inner := mem.New(nil)
		create(t, inner, "old", "old data")
		in := NewInjector(Fault{Class: class, Err: syscall.EIO})
		s := in.Wrap(inner)
		if err := run(s); !errors.Is(err, syscall.EIO) {
			t.Errorf("class %b: error %v, want EIO", class, err)
		}
		if got := names(t, inner); got != "old" || in.Fired() != 1 {
			t.Errorf("class %b: files %q, %d faults fired", class, got, in.Fired())
		}
		if err := run(s); err != nil {
			t.Errorf("class %b, a second time: %v", class, err)
		}
	}
}

func TestInjectorCounts(t *testing.T) {
	t.Parallel()
	in := NewInjector(
		Fault{Class: Create, After: 2, Times: 2, Err: syscall.EIO},
		Fault{Class: All, Name: func(name string) bool { return strings.HasPrefix(name, "x") }, After: 1, Times: -1, Err: syscall.EROFS},
	)
	s := in.Wrap(mem.New(nil))
	for i, want := range []error{nil, nil, syscall.EIO, syscall.EIO, nil, nil} {
		if err := tryCreate(s, fmt.Sprintf("a%d", i), ""); !errors.Is(err, want) {
			t.Errorf("Create %d: error %v, want %v", i, err, want)
		}
	}
	for i, want := range []error{nil, syscall.EROFS, syscall.EROFS, syscall.EROFS} {
		if err := tryCreate(s, fmt.Sprintf("x%d", i), ""); !errors.Is(err, want) {
			t.Errorf("Create x%d: error %v, want %v", i, err, want)
		}
	}
	if in.Seen() != 10 || in.Fired() != 5 {
		t.Errorf("%d seen, %d fired, want 10 and 5", in.Seen(), in.Fired())
	}
}

func TestInjectorInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, part := range []int64{1, 3, 4, 100} {
		inner := mem.New(nil)
		s := NewInjector(Fault{Class: Create | SpoolWrite, Bytes: part, Times: -1, Err: syscall.ENOSPC}).Wrap(inner)
		if err := tryCreate(s, "a", "data"); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Create failing after %d bytes: %v, want ENOSPC", part, err)
		}
		err := trySpool(s, "b", "data")
		if want := fmt.Sprintf("after %d bytes", min(part, 4)); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), want) {
			t.Errorf("Write failing after %d bytes: %v, want ENOSPC %s", part, err, want)
		}
		if got := names(t, inner); got != "" {
			t.Errorf("files %q are visible", got)
		}
	}
	inner := mem.New(nil)
	create(t, inner, "a", "data")
	s := NewInjector(Fault{Class: ReadAt, Bytes: 3, Err: syscall.EIO}).Wrap(inner)
	p := make([]byte, 4)
	if n, err := s.ReadAt(t.Context(), "a", p, 0); n != 3 || string(p) != "dat\x00" || err != syscall.EIO {
		t.Errorf("ReadAt: %d bytes %q, error %v, want 3 and EIO", n, p, err)
	}
}

func TestInjectorLosesReply(t *testing.T) {
	t.Parallel()
	inner := mem.New(nil)
	s := NewInjector(Fault{Class: Create | Commit | Remove, Times: -1, LoseReply: true, Err: syscall.ETIMEDOUT}).Wrap(inner)
	for _, err := range []error{tryCreate(s, "a", "x"), trySpool(s, "b", "y"), s.Remove(t.Context(), "a")} {
		if !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("error %v, want ETIMEDOUT", err)
		}
	}
	if got := names(t, inner); got != "b" {
		t.Errorf("files %q, want b: all three took effect", got)
	}
	if err := tryCreate(s, "b", "z"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of what is there: %v, want fs.ErrExist", err)
	}
}

func TestDamageFlips(t *testing.T) {
	t.Parallel()
	const files, size = 200, 1000
	inner := mem.New(nil)
	for i := range files {
		create(t, inner, fmt.Sprintf("f%d", i), strings.Repeat("\x00", size))
	}
	s := Damage{Seed: 1, FlipShare: 0.5}.Wrap(inner)
	hit := 0
	for i := range files {
		name := fmt.Sprintf("f%d", i)
		data := read(t, s, name)
		flipped := 0
		for _, b := range data {
			flipped += bits.OnesCount8(b)
		}
		if flipped > 1 {
			t.Errorf("%s has %d flipped bits, want at most 1", name, flipped)
		}
		hit += flipped
		// The damage is in the same place if read in parts.
		var parts []byte
		for off := 0; off < size; off += 300 {
			p := make([]byte, min(300, size-off))
			if _, err := s.ReadAt(t.Context(), name, p, int64(off)); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			parts = append(parts, p...)
		}
		if !bytes.Equal(parts, data) {
			t.Errorf("%s differs when read in parts", name)
		}
	}
	if hit < files/3 || hit > files*2/3 {
		t.Errorf("%d of %d files are hit, want about half", hit, files)
	}
}

func TestDamageOnce(t *testing.T) {
	t.Parallel()
	inner := mem.New(nil)
	create(t, inner, "a", "data")
	s := Damage{FlipShare: 1, Once: true}.Wrap(inner)
	if first := read(t, s, "a"); string(first) == "data" {
		t.Error("the first read is undamaged")
	}
	if second := read(t, s, "a"); string(second) != "data" {
		t.Errorf("the second read gives %q", second)
	}
}

func TestDamageCuts(t *testing.T) {
	t.Parallel()
	const size = 1000
	data := strings.Repeat("x", size)
	inner := mem.New(nil)
	create(t, inner, "cut", data)
	create(t, inner, "kept", data)
	s := Damage{CutShare: 1, Name: func(name string) bool { return name == "cut" }}.Wrap(inner)
	shown, _, err := s.Stat(t.Context(), "cut")
	if err != nil || shown >= size {
		t.Errorf("Stat: size %d, error %v, want less than %d", shown, err, size)
	}
	n, err := s.ReadAt(t.Context(), "cut", make([]byte, size), 0)
	if int64(n) != shown || err != io.EOF {
		t.Errorf("ReadAt: %d bytes, error %v, want %d and io.EOF", n, err, shown)
	}
	err = s.List(t.Context(), "", func(name string, got int64, _ time.Time) error {
		if want := map[string]int64{"cut": shown, "kept": size}[name]; got != want {
			t.Errorf("List gives %s the size %d, want %d", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := read(t, s, "kept"); string(got) != data {
		t.Error("the other file is damaged")
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	s := mem.New(nil)
	create(t, s, "a", "data")
	err := Rewrite(t.Context(), s, "a", func(data []byte) []byte { return append(data[1:], '!') })
	if got := read(t, s, "a"); err != nil || string(got) != "ata!" {
		t.Errorf("rewritten to %q, error %v", got, err)
	}
	if err := Rewrite(t.Context(), s, "a", func([]byte) []byte { return nil }); err != nil || names(t, s) != "" {
		t.Errorf("files %q, error %v, want none", names(t, s), err)
	}
	if err := Rewrite(t.Context(), s, "a", bytes.Clone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rewrite of a missing file: %v", err)
	}
}

// TestDiskKeepsWhatFinished crashes at each change of a script and checks the
// files that are found.
func TestDiskKeepsWhatFinished(t *testing.T) {
	t.Parallel()
	script := []struct {
		run    func(s store.Store) error
		before string // the files before this step
	}{
		{func(s store.Store) error { return tryCreate(s, "a", "1") }, ""},
		{func(s store.Store) error { return trySpool(s, "b", "2") }, "a"},
		{func(s store.Store) error { return s.Remove(context.Background(), "a") }, "a b"},
		{func(s store.Store) error { return tryCreate(s, "c", "3") }, "b"},
		{nil, "b c"},
	}
	for crashAt := range len(script) - 1 {
		d := NewDisk(nil)
		d.CrashAfter(crashAt)
		for i, step := range script[:len(script)-1] {
			if err := step.run(d); (err == nil) != (i < crashAt) || err != nil && !errors.Is(err, ErrCrashed) {
				t.Errorf("crash at %d, step %d: error %v", crashAt, i, err)
			}
		}
		if _, _, err := d.Stat(t.Context(), "a"); err != ErrCrashed || !d.Crashed() {
			t.Errorf("Stat after the crash: %v, want ErrCrashed", err)
		}
		found := make(map[string]bool)
		random := rand.New(rand.NewPCG(1, uint64(crashAt)))
		for range 50 {
			found[names(t, d.CrashClone(random))] = true
		}
		want := map[string]bool{script[crashAt].before: true, script[crashAt+1].before: true}
		if len(found) != 2 || !found[script[crashAt].before] || !found[script[crashAt+1].before] {
			t.Errorf("crash at %d: found %v, want %v", crashAt, found, want)
		}
	}
}

func TestDiskTorn(t *testing.T) {
	t.Parallel()
	d := NewDisk(nil)
	create(t, d, "old", "old data")
	d.CrashAfter(0)
	if err := tryCreate(d, "new", "new data"); err != ErrCrashed {
		t.Fatal(err)
	}
	kinds := make(map[string]int)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		clone := d.TornCrashClone(random)
		if got := read(t, clone, "old"); string(got) != "old data" {
			t.Fatalf("a finished file has %q", got)
		}
		if _, _, err := clone.Stat(t.Context(), "new"); err != nil {
			kinds["absent"]++
			continue
		}
		got := string(read(t, clone, "new"))
		switch {
		case got == "new data":
			kinds["whole"]++
		case len(got) < len("new data") && strings.HasPrefix("new data", got):
			kinds["cut"]++
		case len(got) == len("new data") && strings.HasPrefix("new data", strings.TrimRight(got, "\x00")):
			kinds["zeros"]++
		default:
			t.Errorf("torn into %q", got)
		}
	}
	if len(kinds) != 4 {
		t.Errorf("outcomes %v, want four kinds", kinds)
	}
}

// TestDiskClonesWhileWritten clones in the middle of writing and checks that
// what was reported before the clone is in it.
func TestDiskClonesWhileWritten(t *testing.T) {
	t.Parallel()
	d := NewDisk(nil)
	reported := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			name := fmt.Sprintf("f%d", i)
			if err := tryCreate(d, name, name); err != nil {
				t.Error(err)
			}
			reported <- name
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	var finished []string
	for range 20 {
		for len(reported) > 0 {
			finished = append(finished, <-reported)
		}
		clone := d.CrashClone(random)
		for _, name := range finished {
			if got := read(t, clone, name); string(got) != name {
				t.Errorf("%s has %q", name, got)
			}
		}
	}
	<-done
}

func TestDelayedListings(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	inner := mem.New(nil)
	create(t, inner, "old", "x")
	delay := func(client, author int, _ string) time.Duration {
		if client == author {
			return 0
		}
		return time.Duration(client) * time.Minute
	}
	d := NewDelayed(inner, func() time.Time { return now }, delay)
	one, two, five := d.Client(1), d.Client(2), d.Client(5)
	expect := func(moment string, want ...string) {
		t.Helper()
		for i, s := range []store.Store{one, two, five} {
			if got := names(t, s); got != want[i] {
				t.Errorf("%s: client %d of 3 sees %q, want %q", moment, i+1, got, want[i])
			}
		}
	}
	create(t, one, "a", "x")
	if err := trySpool(two, "b", "x"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := five.Stat(t.Context(), "a"); err != nil {
		t.Errorf("Stat of what is not listed yet: %v", err)
	}
	expect("at once", "a old", "b old", "old")
	now = now.Add(2 * time.Minute)
	expect("after 2 minutes", "a b old", "a b old", "old")
	now = now.Add(3 * time.Minute)
	expect("after 5 minutes", "a b old", "a b old", "a b old")

	if err := one.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := five.Stat(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of what is listed still: %v", err)
	}
	expect("after removal", "b old", "a b old", "a b old")
	now = now.Add(2 * time.Minute)
	expect("2 minutes after removal", "b old", "b old", "a b old")
	create(t, two, "a", "again")
	expect("created again", "b old", "a b old", "b old")
	now = now.Add(time.Hour)
	expect("in the end", "a b old", "a b old", "a b old")
}

func TestDelayedHidesWhatIsBeingCreated(t *testing.T) {
	t.Parallel()
	d := NewDelayed(mem.New(nil), time.Now, RandomDelay(1, 0))
	// Found in the store before its creation has returned.
	err := d.create("a", 1, func() error {
		create(t, d.inner, "a", "x")
		if got := names(t, d.Client(2)); got != "" {
			t.Errorf("List in the middle of a creation: %q", got)
		}
		return nil
	})
	if got := names(t, d.Client(2)); err != nil || got != "a" {
		t.Errorf("List after a creation: %q, error %v", got, err)
	}
}

func TestRandomDelay(t *testing.T) {
	t.Parallel()
	const limit = time.Hour
	delay, same, other := RandomDelay(1, limit), RandomDelay(1, limit), RandomDelay(2, limit)
	different := 0
	for i := range 100 {
		name := fmt.Sprint(i)
		got := delay(1, 2, name)
		if got < 0 || got > limit || got != same(1, 2, name) || delay(3, 3, name) != 0 {
			t.Errorf("delay %v", got)
		}
		if got != other(1, 2, name) && got != delay(3, 2, name) {
			different++
		}
	}
	if different < 95 {
		t.Errorf("%d of 100 delays depend on seed and client", different)
	}
}

func TestCounter(t *testing.T) {
	t.Parallel()
	var c Counter
	s := c.Wrap(mem.New(nil))
	create(t, s, "a", "four")
	before := c.Counts()
	if err := trySpool(s, "b", "eight by"); err != nil {
		t.Fatal(err)
	}
	read(t, s, "b")
	names(t, s)
	if err := s.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	want := Counts{Create: 1, ReadAt: 1, List: 1, Remove: 1, Stat: 1, Spool: 1, Commit: 1, Listed: 2, BytesRead: 8, BytesWritten: 12}
	if got := c.Counts(); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	want.Create, want.BytesWritten = 0, 8
	if got := c.Counts().Since(before); got != want {
		t.Errorf("counts since %+v, want %+v", got, want)
	}
}
