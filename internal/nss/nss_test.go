package nss

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a machine with files, and a getent that notes how it is called.
type fake struct {
	machine
	t   *testing.T
	dir string
}

// newFake makes a machine whose getent is a shell script: $1 is the database, $2 the number.
func newFake(t *testing.T, nsswitch, script string) *fake {
	t.Helper()
	f := &fake{t: t, dir: t.TempDir()}
	f.machine = machine{etc: f.dir, getent: []string{filepath.Join(f.dir, "none"), filepath.Join(f.dir, "getent")}, patience: time.Minute}
	f.write("passwd", "root:x:0:0::/root:/bin/sh\n", 0o644)
	f.write("group", "root:x:0:\n", 0o644)
	f.write("nsswitch.conf", nsswitch, 0o644)
	f.write("getent", "#!/bin/sh\necho \"$*\" >>"+f.dir+"/calls\n"+script, 0o755)
	return f
}

func (f *fake) write(name, text string, mode os.FileMode) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), mode); err != nil {
		f.t.Fatal(err)
	}
}

// calls returns the arguments of each call of getent.
func (f *fake) calls() string {
	data, _ := os.ReadFile(filepath.Join(f.dir, "calls")) // not there if there was none
	return strings.Join(strings.Split(strings.TrimSpace(string(data)), "\n"), ", ")
}

const beside = "passwd: files ldap\ngroup: files ldap\n"

func TestNamesOfFiles(t *testing.T) {
	long := strings.Repeat("member,", 5000)
	for line, want := range map[string]string{
		"web:x:33:33:web:/var/www:/bin/sh\n": "web", "web:x:33:": "web", "web:x:33:" + long + "\n": "web", long + ":x:33:\n": "",
		"a:x:33:\nb:x:33:\n": "a", "# web:x:33:\nb:x:33:\n": "b", "+web:x:33:\n": "", "-web:x:33:\n": "", ":x:33:\n": "", "web:x:33\n": "", "web:x: 33:\n": "",
		"web:x:-33:\n": "", "web:x:4294967329:\n": "", "w\x1beb:x:33:\n": "", "DOM\\user name:x:33:\n": "DOM\\user name", "m\xfcller:x:33:\n": "m\xfcller",
		strings.Repeat("n", 255) + ":x:33:\n": strings.Repeat("n", 255), strings.Repeat("n", 256) + ":x:33:\n": "", "": "",
		long + "\n" + long + "\nweb:x:33:\n": "web"} {
		f := newFake(t, "passwd: files\ngroup: files\n", "echo asked:x:$2:\n")
		f.write("passwd", line, 0o644)
		f.write("group", line, 0o644)
		n := newNames(f.machine)
		if user, group := n.User(t.Context(), 33), n.Group(t.Context(), 33); user != want || group != want {
			t.Errorf("%.40q: user %q, group %q, want %q", line, user, group, want)
		}
		if f.calls() != "" {
			t.Errorf("getent was asked though only files have names: %s", f.calls())
		}
	}
}

func TestNobodyBesideFilesIsAsked(t *testing.T) {
	for text, want := range map[string]bool{
		"passwd: files": false, "passwd: files systemd": true, "passwd:files sss [NOTFOUND=return]": true, " passwd : compat": true, "passwd: [NOTFOUND=return] files": false,
		"#passwd: files ldap": false, "passwd: files # ldap": false, "passwd: files [SUCCESS=return NOTFOUND=continue]": false, "group: files ldap": false, "passwd:": false,
		"": false, "passwd: files\npasswd: ldap": true, "passwd": false} {
		if got := namesOthers(strings.NewReader(text), "passwd", "files"); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

func TestGetentIsAskedOnceForWhatFilesDoNotHave(t *testing.T) {
	f := newFake(t, beside, `[ $2 = 7 ] && exit 2; echo "$1$2:*:$2:100:A B:/home:/bin/sh"`)
	n := newNames(f.machine)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, want := range []struct {
				id          uint32
				user, group string
			}{{0, "root", "root"}, {5000, "passwd5000", "group5000"}, {7, "", ""}} {
				if user, group := n.User(t.Context(), want.id), n.Group(t.Context(), want.id); user != want.user || group != want.group {
					t.Errorf("%d: %q, %q", want.id, user, group)
				}
			}
		})
	}
	wg.Wait()
	got := strings.Split(f.calls(), ", ")
	for _, call := range []string{"passwd 5000", "group 5000", "passwd 7", "group 7"} {
		if c := strings.Count(f.calls(), call); c != 1 || len(got) != 4 {
			t.Errorf("%q was asked %d times; calls: %s", call, c, f.calls())
		}
	}
}

func TestAnswersOfGetentAreChecked(t *testing.T) {
	for answer, want := range map[string]string{
		`echo "good:x:$2:"`: "good", `echo "good:x:$2:"; yes | head -c 200000`: "good", `echo "good:x:$2:"; exit 2`: "",
		`echo "other:x:1$2:"`: "", `echo "no number:x:y:"`: "", `echo`: "", `true`: "", `echo "short:x:$2"`: "",
		`printf 'esc\033:x:%s:\n' $2`: "", `head -c 5000 /dev/zero | tr '\0' a; echo ":x:$2:"`: "", `exit 2`: ""} {
		f := newFake(t, beside, answer+"\n")
		n := newNames(f.machine)
		if got := n.User(t.Context(), 5000); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
		if n.User(t.Context(), 5001); f.calls() != "passwd 5000, passwd 5001" {
			t.Errorf("%s: calls %s", answer, f.calls())
		}
	}
}

// TestGetentHasNothingOfOurs looks at what getent is started with.
func TestGetentHasNothingOfOurs(t *testing.T) {
	t.Setenv("SNAP_PASSWORD", "secret")
	f := newFake(t, beside, `dir=$(dirname "$0"); tr '\0' '\n' </proc/$$/environ >$dir/env; readlink /proc/$$/cwd >$dir/cwd; readlink /proc/$$/fd/0 >$dir/stdin; echo "a:x:$2:"`)
	if got := newNames(f.machine).User(t.Context(), 5000); got != "a" {
		t.Fatal(got)
	}
	for file, want := range map[string]string{"env": "PATH=/usr/bin:/bin\nLC_ALL=C\n", "cwd": "/\n", "stdin": "/dev/null\n"} {
		if got := mustRead(t, filepath.Join(f.dir, file)); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestGetentThatFailsIsNotAskedAgain(t *testing.T) {
	for what, script := range map[string]string{"hangs": "exec sleep 1000", "is endless": "exec yes", "fails": "exit 3", "is killed": "kill -9 $$", "leaves somebody": "sleep 20 & exec sleep 1000"} {
		f := newFake(t, beside, script)
		if what == "hangs" || what == "is endless" || what == "leaves somebody" {
			f.patience = 100 * time.Millisecond
		}
		n := newNames(f.machine)
		for id := range uint32(3) {
			if user, group := n.User(t.Context(), 5000+id), n.Group(t.Context(), 5000+id); user != "" || group != "" {
				t.Errorf("%s: %q, %q", what, user, group)
			}
		}
		if calls := f.calls(); !n.silent || strings.Contains(calls, ",") {
			t.Errorf("%s: silent %t, calls %s", what, n.silent, calls)
		}
		if name := n.User(t.Context(), 0); name != "root" {
			t.Errorf("%s: the file's name is %q", what, name)
		}
	}
}

func TestGetentThatCannotBeStarted(t *testing.T) {
	for what, change := range map[string]func(*fake){
		"missing":    func(f *fake) { os.Remove(filepath.Join(f.dir, "getent")) },
		"no program": func(f *fake) { f.write("getent", "\x00", 0o755) },
		"no right":   func(f *fake) { os.Chmod(filepath.Join(f.dir, "getent"), 0o644) },
	} {
		f := newFake(t, beside, "")
		change(f)
		n := newNames(f.machine)
		if name := n.User(t.Context(), 5000); name != "" || !n.silent {
			t.Errorf("%s: %q, silent %t", what, name, n.silent)
		}
	}
}

func TestGetentIsNotAskedForEver(t *testing.T) {
	f := newFake(t, beside, "exit 2")
	n := newNames(f.machine)
	n.vain = maxVain - 2
	for id := range uint32(5) {
		n.User(t.Context(), 5000+id)
	}
	if f.calls() != "passwd 5000, passwd 5001" {
		t.Errorf("calls %s", f.calls())
	}
}

func TestGetentThatIsSlowIsNotAskedForEver(t *testing.T) {
	f := newFake(t, beside, "exit 2")
	n := newNames(f.machine)
	n.waited = vainTime - time.Nanosecond
	for id := range uint32(5) {
		n.User(t.Context(), 5000+id)
	}
	if f.calls() != "passwd 5000" {
		t.Errorf("calls %s", f.calls())
	}
}

// TestCancelledQuestionIsAskedAgain cancels while getent runs: that says nothing about the number, nor about getent.
func TestCancelledQuestionIsAskedAgain(t *testing.T) {
	f := newFake(t, beside, `[ -e "$0.go" ] || exec sleep 1000; echo "late:x:$2:"`)
	n := newNames(f.machine)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string)
	go func() { done <- n.User(ctx, 5000) }()
	for deadline := time.Now().Add(time.Minute); f.calls() == "" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if name := <-done; name != "" {
		t.Errorf("a cancelled question got %q", name)
	}
	f.write("getent.go", "", 0o644)
	if name := n.User(t.Context(), 5000); name != "late" {
		t.Errorf("asked again: %q", name)
	}
}

func TestOnlyTheHeadOfAnAnswerIsKept(t *testing.T) {
	h := &head{}
	for range 100 {
		if n, err := h.Write(bytes.Repeat([]byte("x"), 1000)); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(h.kept) != longLine {
		t.Errorf("%d bytes are kept", len(h.kept))
	}
}

func TestCurrent(t *testing.T) {
	want := New().User(t.Context(), uint32(os.Getuid()))
	if want == "" {
		want = os.Getenv("USER")
	}
	if got := Current(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func BenchmarkNamesOfLargeFile(b *testing.B) {
	var text bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&text, "user%d:x:%s:100:User:/home/user%d:/bin/bash\n", i, strconv.Itoa(i), i)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		known := map[uint32]string{}
		if readFile(bytes.NewReader(text.Bytes()), known); len(known) != 10_000 {
			b.Fatal(len(known))
		}
	}
}
