package sftp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/store/sftp"
)

func TestParseLocation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, path, again string }{
		{"sftp://user@host/srv/backup", "/srv/backup", ""},
		{"sftp://host:2222/srv/backup/", "/srv/backup", "sftp://host:2222/srv/backup"},
		{"sftp://user@host/~/backup", "backup", ""},
		{"sftp://host/~", ".", "sftp://host/~"},
		{"sftp://host/~/../x", "/x", "sftp://host/x"},
		{"sftp://[2001:db8::1]:22/a%20b%3F", "/a b?", "sftp://[2001:db8::1]:22/a%20b%3F"},
	} {
		l, err := sftp.ParseLocation(test.url)
		if err != nil || l.Path != test.path {
			t.Errorf("ParseLocation(%q) = %+v, %v", test.url, l, err)
		}
		if test.again == "" {
			test.again = test.url
		}
		if l.String() != test.again {
			t.Errorf("ParseLocation(%q).String() = %q", test.url, l.String())
		}
	}
	for _, url := range []string{
		"", "sftp:user@host:/path", "sftp://", "sftp:///path", "sftp://host", "sftp://host/", "sftp://user:secret@host/path", "sftp://-oProxy/path",
		"sftp://-l@host/path", "sftp://host:99999/path", "sftp://host:x/secret", "sftp://host/a?b", "sftp://host/a#b", "sftp://host/%00",
		"sftp://ho%0ast/a", "sftp://user:secret@ho st/path",
	} {
		if l, err := sftp.ParseLocation(url); err == nil {
			t.Errorf("ParseLocation(%q) = %+v", url, l)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseLocation(%q): the error shows the password: %v", url, err)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	f.Add("sftp://user@host:22/~/path")
	f.Fuzz(func(t *testing.T, url string) {
		l, err := sftp.ParseLocation(url)
		if err != nil {
			return
		}
		again, err := sftp.ParseLocation(l.String())
		if err != nil || again != l {
			t.Errorf("%q is %+v, and written as %q it is %+v, error %v", url, l, l.String(), again, err)
		}
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := t.TempDir()
	opts := sftp.Options{SSH: s.Client()}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sftp.Open(t.Context(), location(s, filepath.Join(dir, "missing")), opts); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a folder that is not there: %v", err)
	}
	if _, err := sftp.Open(t.Context(), location(s, filepath.Join(dir, "file")), opts); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Open of a file: %v", err)
	}
	_, err := sftp.Create(t.Context(), location(s, dir), opts)
	if !errors.Is(err, syscall.ENOTEMPTY) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create in a folder that is not empty: %v", err)
	}
	stranger := opts
	stranger.SSH.KnownHosts = []string{"/dev/null"}
	if _, err := sftp.Open(t.Context(), location(s, dir), stranger); !errors.Is(err, sftp.ErrHostKey) {
		t.Errorf("Open with a server that is not known: %v", err)
	}
	place := location(s, dir)
	place.Address.Port = 1
	if _, err := sftp.Open(t.Context(), place, opts); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("sftp://%s@127.0.0.1:1/", s.User)) {
		t.Errorf("Open where no server is: %v", err)
	}
}

// TestHome uses a folder relative to the user's home.
func TestHome(t *testing.T) {
	t.Parallel()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Skip(err)
	}
	s := sshdtest.Start(t, sshdtest.Options{})
	dir, err := os.MkdirTemp(home, ".snap-test-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(dir)
	l, err := sftp.ParseLocation("sftp://" + s.Address().String() + "/~/" + filepath.Base(dir) + "/store")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sftp.Create(t.Context(), l, sftp.Options{SSH: s.Client()})
	if err != nil {
		t.Skipf("the home of the session is another: %v", err)
	}
	defer st.Close()
	if err := st.Create(t.Context(), "d/f", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "store", "d", "f")); err != nil || string(got) != "data" {
		t.Errorf("stored %q, error %v", got, err)
	}
}

// TestOnlyAdds uses servers on which nothing can be removed or replaced.
func TestOnlyAdds(t *testing.T) {
	t.Parallel()
	for name, arguments := range map[string]string{"Links": onlyLinks, "Renames": onlyRenames} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sshdtest.Start(t, sshdtest.Options{SFTP: arguments})
			dir := filepath.Join(t.TempDir(), "store")
			st := create(t, s, dir, sftp.Options{})
			defer st.Close()
			want := make(map[string]int64)
			for i := range 4 {
				name := fmt.Sprintf("data/%d/f", i)
				data := randomBytes(byte(i), 100_000*i)
				if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Fatal(err)
				}
				readAll(t, st, name, data)
				want[name] = int64(len(data))
				if err := st.Create(t.Context(), name, strings.NewReader("other"), 5); !errors.Is(err, fs.ErrExist) {
					t.Errorf("Create of a name that is taken: %v", err)
				}
				readAll(t, st, name, data)
			}
			if err := st.Remove(t.Context(), "data/0/f"); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("Remove: %v", err)
			}
			if got := listed(t, st); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("List gives %v, want %v", got, want)
			}
		})
	}
}

// TestReadOnly uses a server that changes nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{SFTP: "-R"})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := sftp.Open(t.Context(), location(s, dir), sftp.Options{SSH: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	readAll(t, st, "f", []byte("data"))
	if err := st.Create(t.Context(), "g", strings.NewReader("data"), 4); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Create: %v", err)
	}
	if err := st.Remove(t.Context(), "f"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Remove: %v", err)
	}
}

// TestFullDisk checks that a full disk is told from other failures, though the
// protocol has no word for it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := mount(t, "size=4m,mode=0700")
	s := sshdtest.Start(t, sshdtest.Options{})
	st, err := sftp.Open(t.Context(), location(s, dir), sftp.Options{SSH: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	data := randomBytes(1, 3<<20)
	if err := st.Create(t.Context(), "d/one", bytes.NewReader(data), 3<<20); err != nil {
		t.Fatal(err)
	}
	if err := st.Create(t.Context(), "d/two", bytes.NewReader(data), 3<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Create on a full disk: %v, want ENOSPC", err)
	}
	if got := listed(t, st); len(got) != 1 {
		t.Errorf("List gives %v", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
	if err := st.Remove(t.Context(), "d/one"); err != nil {
		t.Fatal(err)
	}
	if err := st.Create(t.Context(), "d/two", bytes.NewReader(data), 3<<20); err != nil {
		t.Errorf("Create after making room: %v", err)
	}
}

// TestStrangeEntries lists and reads where others left what is no file.
func TestStrangeEntries(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := filepath.Join(t.TempDir(), "store")
	st := create(t, s, dir, sftp.Options{})
	defer st.Close()
	if err := st.Create(t.Context(), "d/f", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d/f", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Upper"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	if got := listed(t, st); len(got) != 1 {
		t.Errorf("List gives %v", got)
	}
	for _, name := range []string{"link", "pipe", "d"} {
		if _, err := st.ReadAt(t.Context(), name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadAt %q: %v", name, err)
		}
		if err := st.Remove(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove %q: %v", name, err)
		}
	}
	for _, name := range []string{"tmp", "tmp/f"} {
		if err := st.Create(t.Context(), name, strings.NewReader(""), 0); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create %q: %v", name, err)
		}
	}
}

func TestCleanTemp(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := filepath.Join(t.TempDir(), "store")
	st := create(t, s, dir, sftp.Options{})
	defer st.Close()
	if n, err := st.CleanTemp(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("CleanTemp of nothing: %d files, error %v", n, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(dir, "tmp", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "tmp", "old"), long, long); err != nil {
		t.Fatal(err)
	}
	if n, err := st.CleanTemp(t.Context(), 24*time.Hour); n != 1 || err != nil {
		t.Errorf("CleanTemp: %d files, error %v", n, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 1 || filepath.Base(left[0]) != "new" {
		t.Errorf("left are %q", left)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	st := create(t, s, filepath.Join(t.TempDir(), "store"), sftp.Options{})
	for range 2 {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := st.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Stat after Close: %v", err)
	}
}

// TestCommand uses the ssh of the system, over one connection.
func TestCommand(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	place := location(s, filepath.Join(t.TempDir(), "store"))
	ssh := filepath.Join(s.Home, ".ssh")
	st, err := sftp.Create(t.Context(), place, sftp.Options{SSH: sshconn.Options{Command: []string{
		"ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-i", ssh + "/id_ed25519", "-o", "UserKnownHostsFile=" + ssh + "/known_hosts",
	}}})
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("ssh is not installed: needs openssh-client")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	data := randomBytes(1, 1<<20)
	if err := st.Create(t.Context(), "d/f", bytes.NewReader(data), 1<<20); err != nil {
		t.Fatal(err)
	}
	readAll(t, st, "d/f", data)
}
