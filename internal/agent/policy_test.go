package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodPolicy = `# what the backup server may read
roots: [/etc, /srv/www]
devices:
  - /dev/vg/data
exclude: ["/srv/www/*/cache"]
streams:
  crm.sql:
    kind: postgresql
    settings: {database: crm, as: postgres}
  list:
    command: [ls, -l]
    env: {LANG: C}
rate_limit: 1000000
writable: [/var/spool/dumps]
`

func TestPolicyIsRead(t *testing.T) {
	p, err := ParsePolicy([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%v %v %v %d %v %v %v %s", p.Roots, p.Devices, p.Exclude, p.RateLimit, p.Writable, p.NewPrivileges, p.Streams["list"].Command, p.Streams["crm.sql"].Kind)
	if want := "[/etc /srv/www] [/dev/vg/data] [/srv/www/*/cache] 1000000 [/var/spool/dumps] false [ls -l] postgresql"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPolicyThatIsNoneIsRefusedByLine(t *testing.T) {
	for _, tt := range []struct{ what, policy, want string }{
		{"an unknown field", "roots: [/a]\nroot: [/b]\n", "line 2: field root not found"},
		{"an unknown field of a stream", "streams:\n  a:\n    comand: [x]\n", "line 3: field comand not found"},
		{"a field that stands twice", "roots: [/a]\nroots: [/b]\n", "line 2"},
		{"no list", "roots: {a: b}\n", "line 1"},
		{"no number", "roots: [/a]\nrate_limit: fast\n", "line 2"},
		{"a relative root", "roots:\n  - /a\n  - b\n", `line 3: roots: "b"`},
		{"a root with a way up", "devices: []\nroots: [/a/../b]\n", `line 2: roots: "/a/../b"`},
		{"a root with a slash at its end", "roots: [/a/]\n", `line 1: roots: "/a/"`},
		{"a root twice", "roots:\n  - /a\n  - /b\n  - /a\n", `line 4: roots: "/a": stands twice`},
		{"a relative device", "devices:\n  - sda\n", `line 2: devices: "sda"`},
		{"a relative writable folder", "roots: [/a]\nwritable: [tmp]\n", `line 2: writable: "tmp"`},
		{"a pattern that is none", "roots: [/a]\nexclude:\n  - ok\n  - \"[\"\n", `line 4: exclude: "["`},
		{"a low rate", "roots: [/a]\nrate_limit: 10\n", "line 2: rate_limit: 10 is below"},
		{"a negative rate", "roots: [/a]\nrate_limit: -1\n", "line 2: rate_limit: -1 is below"},
		{"a stream with a slash", "streams:\n  a/b:\n    command: [x]\n", `line 2: streams: "a/b"`},
		{"a hidden stream", "streams:\n  .a:\n    command: [x]\n", `line 2: streams: ".a"`},
		{"a stream of no command", "streams:\n  ok:\n    command: [x]\n  a:\n    command: []\n", `line 4: streams: "a"`},
		{"a stream of an unknown kind", "streams:\n  a:\n    kind: oracle\n", `line 2: streams: "a"`},
		{"a command of a database", "streams:\n  a:\n    kind: postgresql\n    command: [x]\n", `line 2: streams: "a"`},
		{"a setting of no kind", "streams:\n  a:\n    kind: postgresql\n    settings: {colour: red}\n", `line 2: streams: "a"`},
		{"nothing", "", "allows nothing"},
		{"nothing allowed", "exclude: [a]\n", "allows nothing"},
		{"two documents", "roots: [/a]\n---\nroots: [/b]\n", "more than one document"},
		{"no YAML", "roots: [/a\n", "line 1"},
		{"a list", "- /a\n", "line 1"},
	} {
		p, err := ParsePolicy([]byte(tt.policy))
		if err == nil || p != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.want)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(goodPolicy))
	f.Add([]byte("roots:\n  - &a /a\n  - *a\n"))
	f.Add([]byte("streams:\n  a: {command: [x]}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if (err == nil) != (p != nil) {
			t.Fatalf("%+v, %v", p, err)
		}
		if err == nil && p.Check() != nil {
			t.Fatal("a policy that was taken is not one")
		}
	})
}

func TestPolicyAllows(t *testing.T) {
	for _, tt := range []struct {
		asked string
		want  bool
	}{
		{"/srv/www", true}, {"/srv/www/a", true}, {"/srv/www/a/b", true}, {"/srv", false}, {"/", false}, {"/srv/wwwx", false}, {"/srv/ww", false}, {"", false},
		{"srv/www", false}, {"/srv/www/..", false}, {"/srv/www/../x", false}, {"/srv/www/", false}, {"//srv/www", false}, {"/srv/www/./a", false},
	} {
		if got := allows([]string{"/srv/www"}, tt.asked); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.asked, got, tt.want)
		}
	}
	if !allows([]string{"/"}, "/etc") || !allows([]string{"/"}, "/") {
		t.Error("the root of all does not allow all")
	}
}

// TestPolicyOfOthersIsRefused has a policy that somebody else could write, in each way there is.
func TestPolicyOfOthersIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files to others")
	}
	const other = 12345
	for _, tt := range []struct {
		what  string
		spoil func(dir string) error
		ok    bool
	}{
		{"as it should be", func(string) error { return nil }, true},
		{"writable for the group", func(d string) error { return os.Chmod(filepath.Join(d, "etc/agent.yaml"), 0o664) }, false},
		{"writable for all", func(d string) error { return os.Chmod(filepath.Join(d, "etc/agent.yaml"), 0o646) }, false},
		{"of another user", func(d string) error { return os.Chown(filepath.Join(d, "etc/agent.yaml"), other, 0) }, false},
		{"of another group that only reads", func(d string) error { return os.Chown(filepath.Join(d, "etc/agent.yaml"), 0, other) }, true},
		{"in a folder of another user", func(d string) error { return os.Chown(filepath.Join(d, "etc"), other, 0) }, false},
		{"in a folder that all can write", func(d string) error { return os.Chmod(filepath.Join(d, "etc"), 0o757) }, false},
		{"in a sticky folder that all can write", func(d string) error { return os.Chmod(filepath.Join(d, "etc"), 0o777|os.ModeSticky) }, true},
		{"below a folder of another user", func(d string) error { return os.Chown(d, other, 0) }, false},
		{"a link to it", func(d string) error {
			return errors.Join(os.Rename(filepath.Join(d, "etc/agent.yaml"), filepath.Join(d, "real.yaml")), os.Symlink("../real.yaml", filepath.Join(d, "etc/agent.yaml")))
		}, true},
		{"a link of another user to it", func(d string) error {
			return errors.Join(os.Rename(filepath.Join(d, "etc/agent.yaml"), filepath.Join(d, "real.yaml")), os.Symlink("../real.yaml", filepath.Join(d, "etc/agent.yaml")),
				os.Lchown(filepath.Join(d, "etc/agent.yaml"), other, 0))
		}, false},
		{"a folder that is a link to one below a folder of another user", func(d string) error {
			return errors.Join(os.Mkdir(filepath.Join(d, "home"), 0o755), os.Rename(filepath.Join(d, "etc"), filepath.Join(d, "home/etc")),
				os.Symlink("home/etc", filepath.Join(d, "etc")), os.Chown(filepath.Join(d, "home"), other, 0))
		}, false},
		{"missing", func(d string) error { return os.Remove(filepath.Join(d, "etc/agent.yaml")) }, false},
		{"too large", func(d string) error {
			return os.WriteFile(filepath.Join(d, "etc/agent.yaml"), []byte(goodPolicy+strings.Repeat("#\n", maxPolicy/2)), 0o644)
		}, false},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "etc/agent.yaml")
		if err := os.WriteFile(name, []byte(goodPolicy), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := tt.spoil(dir); err != nil {
			t.Fatal(err)
		}
		p, err := ReadPolicy(name)
		if (err == nil) != tt.ok || (p != nil) != tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
		if err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v is no ErrPolicy", tt.what, err)
		}
		if tt.what == "missing" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing: %v", err)
		}
	}
}
