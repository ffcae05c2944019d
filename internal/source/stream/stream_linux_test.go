package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

func root(t *testing.T, streams ...Stream) source.Dir {
	t.Helper()
	s, err := New(streams...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read reads a stream to its end as a backup does.
func read(ctx context.Context, d source.Dir, name string) (string, error) {
	f, err := d.Open(ctx, &tree.Stat{Name: name})
	if err != nil {
		return "", err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return "", err
	}
	r, err := f.Next()
	if err != nil || r.Length != -1 || r.Hole {
		return "", errors.Join(err, errors.New("not one region of unknown length"))
	}
	b, err := io.ReadAll(f)
	if err != nil {
		if _, again := f.Stat(); again == nil {
			return "", errors.New("Stat does not tell that the stream failed")
		}
		return string(b), err
	}
	if _, err := f.Next(); err != io.EOF {
		return "", err
	}
	after, err := f.Stat()
	if err != nil || after != before || after.Size != -1 {
		return "", errors.Join(err, errors.New("the stat changed"))
	}
	return string(b), nil
}

func shell(script string) Stream {
	return FromCommand("dump", Command{Args: []string{"/bin/sh", "-c", script}})
}

func TestCommands(t *testing.T) {
	tests := []struct {
		name, script string
		want         string // output
		err          string // part of the error, empty if there is none
	}{
		{"good", "echo data", "data\n", ""},
		{"large", "head -c 3000000 /dev/zero", strings.Repeat("\x00", 3000000), ""},
		{"exit status", "echo data; echo 'out of luck' >&2; exit 3", "", "exit status 3: \"out of luck\""},
		{"killed", "echo data; kill -9 $$", "", "signal: killed"},
		{"broken pipe", "echo data; kill -PIPE $$", "", "signal: broken pipe"},
		{"empty", "true", "", "it gave nothing"},
		{"empty and failed", "exit 1", "", "exit status 1"},
		{"slow", "echo a; sleep 0.1; echo b", "a\nb\n", ""},
		{"truncated", "head -c 1000 /dev/zero; exit 141", "", "exit status 141"},
		{"closes early", "echo data; exec >&-; sleep 0.1; exit 4", "", "exit status 4"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := read(t.Context(), root(t, shell(tc.script)), "dump")
			if tc.err == "" {
				if err != nil || got != tc.want {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				return
			}
			if !errors.Is(err, source.ErrStream) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %v, want ErrStream with %q", err, tc.err)
			}
		})
	}
}

func TestCommandErrorTellsHow(t *testing.T) {
	_, err := read(t.Context(), root(t, shell("echo x; exit 7")), "dump")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
	var command *CommandError
	if !errors.As(err, &command) || command.Program != "/bin/sh" {
		t.Errorf("got %v, want a CommandError", err)
	}
}

func TestCommandThatCannotStart(t *testing.T) {
	for _, args := range [][]string{nil, {"/no/such/program"}, {"/etc/passwd"}} {
		d := root(t, FromCommand("dump", Command{Args: args}))
		if _, err := read(t.Context(), d, "dump"); !errors.Is(err, source.ErrStream) {
			t.Errorf("%q: got %v, want ErrStream", args, err)
		}
	}
}

func TestCommandGetsWhatItNeeds(t *testing.T) {
	dir := t.TempDir()
	var stderr strings.Builder
	c := Command{
		Args: []string{"/bin/sh", "-c", "pwd; echo $VALUE; cat; echo warning >&2"},
		Dir:  dir, Env: []string{"VALUE=v"}, Stdin: strings.NewReader("in"), Stderr: &stderr,
	}
	got, err := read(t.Context(), root(t, FromCommand("dump", c)), "dump")
	if want := dir + "\nv\nin"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if stderr.String() != "warning\n" {
		t.Errorf("standard error: %q", stderr.String())
	}
}

func TestAllowEmpty(t *testing.T) {
	s := shell("true")
	s.AllowEmpty = true
	if got, err := read(t.Context(), root(t, s), "dump"); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestClosedEarly checks that nothing goes on running, also not what the command started.
func TestClosedEarly(t *testing.T) {
	pidFile := t.TempDir() + "/pid"
	s := shell("sleep 100 & echo $! >" + pidFile + "; echo begun; wait")
	for _, by := range []string{"close", "context"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := root(t, s)
		f, err := d.Open(ctx, &tree.Stat{Name: "dump"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 6)
		if _, err := io.ReadFull(f, buf); err != nil {
			t.Fatal(err)
		}
		pid, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		if by == "context" {
			cancel()
			if _, err := io.ReadAll(f); err == nil {
				t.Error("a command that was stopped ended well")
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		proc := "/proc/" + strings.TrimSpace(string(pid)) + "/stat"
		for end := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
			state, err := os.ReadFile(proc)
			if err != nil || strings.Contains(string(state), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("by %s: %s still runs", by, state)
			}
		}
	}
}

func TestReaders(t *testing.T) {
	bad := errors.New("bad")
	d := root(t,
		FromReader("b", iotest.OneByteReader(strings.NewReader("bytes"))),
		FromReader("a", iotest.DataErrReader(strings.NewReader("all"))),
		FromReader("empty", strings.NewReader("")),
		FromReader("fails", io.MultiReader(strings.NewReader("some"), iotest.ErrReader(bad))),
		Stream{Name: "none", Open: func(context.Context) (io.ReadCloser, error) { return nil, bad }},
	)
	for name, want := range map[string]string{"a": "all", "b": "bytes"} {
		if got, err := read(t.Context(), d, name); err != nil || got != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if _, err := read(t.Context(), d, name); !errors.Is(err, source.ErrStream) {
			t.Errorf("%s read twice: %v", name, err)
		}
	}
	for _, name := range []string{"empty", "fails", "none"} {
		if _, err := read(t.Context(), d, name); !errors.Is(err, source.ErrStream) || name != "empty" && !errors.Is(err, bad) {
			t.Errorf("%s: got %v, want ErrStream", name, err)
		}
	}
	// Going on without having read tells the same.
	d = root(t, FromReader("fails", iotest.ErrReader(bad)))
	f, err := d.Open(t.Context(), &tree.Stat{Name: "fails"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Next()
	if _, err := f.Next(); !errors.Is(err, source.ErrStream) {
		t.Errorf("got %v, want ErrStream", err)
	}
}

func TestStats(t *testing.T) {
	when := time.Unix(1_000_000_000, 7)
	d := root(t, Stream{Name: "z", Open: FromReader("", nil).Open, Mode: 0o444, ModTime: when}, FromReader("a", nil))
	stats, problems, err := d.List(t.Context())
	if err != nil || len(problems) > 0 || len(stats) != 2 || stats[0].Name != "a" || stats[1].Name != "z" {
		t.Fatalf("got %+v, %v", stats, err)
	}
	if stats[0].Mode != 0o600 || stats[1].Mode != 0o444 || stats[1].ModTime != tree.TimeOf(when) || stats[1].ChangeTime == stats[1].ModTime {
		t.Errorf("got %+v", stats)
	}
}

func TestNamesAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("n", 5000)} {
		if _, err := New(FromReader(name, nil)); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
	if _, err := New(FromReader("a", nil), FromReader("a", nil)); err == nil {
		t.Error("two streams of one name")
	}
	if _, err := New(Stream{Name: "a"}); err == nil {
		t.Error("a stream without content")
	}
}

// count is a reader that says to have read so many bytes.
type count int

func (c count) Read(p []byte) (int, error) { return len(p) * int(c), nil }

func TestReadersThatMiscountAreErrors(t *testing.T) {
	for _, c := range []count{-1, 2} {
		if _, err := read(t.Context(), root(t, FromReader("a", c)), "a"); !errors.Is(err, source.ErrStream) {
			t.Errorf("a reader that counts %d times: %v", c, err)
		}
	}
}
