package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/repo"
)

// failures is every kind of failure that a user can meet, with what snap has to say.
var failures = []struct {
	name    string
	prepare func(*testing.T, *site)
	args    []string // $REPO, $DOCS and $DIR are replaced
	code    int
	message string // a pattern
	lossy   bool   // prepare damages the repository on purpose: the check that nothing is lost compares with afterwards
}{
	{name: "no repository at the place", args: []string{"snapshots", "-r", "$DIR/nowhere"}, code: exitNoRepository, message: `there is no repository at .*nowhere`},
	{name: "no default repository", args: []string{"snapshots"}, code: exitNoRepository, message: `no repository given`,
		prepare: func(_ *testing.T, s *site) { s.env["XDG_DATA_HOME"] = s.dir + "/other" }},
	{name: "empty folder", args: []string{"snapshots", "-r", "$DOCS"}, code: exitNoRepository, message: `there is no repository at .*docs`},
	{name: "file instead of a folder", args: []string{"snapshots", "-r", "$DOCS/a.txt"}, code: exitNoRepository, message: `there is no repository at`},
	{name: "repository file missing", args: []string{"snapshots", "--repository-file", "$DIR/place"}, code: exitNoRepository, message: `no such file`},
	{name: "two places", args: []string{"snapshots", "-r", "x", "--repository-file", "y"}, code: exitUsage, message: `give one of`},
	{name: "unknown kind of store", args: []string{"snapshots", "-r", "gopher://host/x"}, code: exitUsage, message: `unknown kind of store`},
	{name: "variables of another program", args: []string{"snapshots"}, code: exitNoRepository, message: `no repository given`,
		prepare: func(_ *testing.T, s *site) {
			s.env["XDG_DATA_HOME"], s.env["RESTIC_REPOSITORY"] = s.dir+"/other", "/srv/restic"
		}},
	{name: "snap.json cut off", args: []string{"snapshots"}, code: exitDamage, message: `damaged`,
		prepare: func(t *testing.T, s *site) { s.change(t, "snap.json", cut) }, lossy: true},
	{name: "snap.json is something else", args: []string{"snapshots"}, code: exitDamage, message: `damaged`,
		prepare: func(t *testing.T, s *site) {
			s.change(t, "snap.json", func([]byte) []byte { return []byte("{}") })
		}, lossy: true},
	{name: "newer version", args: []string{"snapshots"}, code: exitNewer, message: `newer version`,
		prepare: func(t *testing.T, s *site) { s.change(t, "snap.json", replace(`"version":1`, `"version":2`)) }, lossy: true},
	{name: "unknown feature", args: []string{"snapshots"}, code: exitNewer, message: `feature "holograms"`,
		prepare: func(t *testing.T, s *site) {
			s.change(t, "snap.json", replace(`"required":[`, `"required":["holograms"`))
		}, lossy: true},
	{name: "snap.json of another repository", args: []string{"snapshots"}, code: exitDamage, message: `different repositories`,
		prepare: func(t *testing.T, s *site) {
			s.change(t, "snap.json", func(data []byte) []byte {
				return regexp.MustCompile(`"id":"[0-9a-f]{32}`).ReplaceAll(data, []byte(`"id":"`+strings.Repeat("5eed", 8)))
			})
		}, lossy: true},
	{name: "no key given", args: []string{"snapshots", "-r", "$REPO"}, code: exitWrongKey, message: `no passphrase or key given`},
	{name: "key file missing", args: []string{"snapshots"}, code: exitWrongKey, message: `no passphrase or key given`,
		prepare: func(t *testing.T, s *site) { os.Remove(s.dir + "/config/snap/key") }},
	{name: "passphrase file missing", args: []string{"snapshots", "-p", "$DIR/pass"}, code: exitWrongKey, message: `passphrase file`},
	{name: "passphrase empty", args: []string{"snapshots", "-p", "$DIR/pass"}, code: exitWrongKey, message: `the passphrase is empty`,
		prepare: func(t *testing.T, s *site) { write(t, s.dir+"/pass", "\n") }},
	{name: "passphrase command fails", args: []string{"snapshots", "--password-command", "exit 7"}, code: exitWrongKey, message: `exit status 7`},
	{name: "no slot for a passphrase", args: []string{"snapshots", "-p", "$DIR/pass"}, code: exitWrongKey, message: `no key slot of this kind`,
		prepare: func(t *testing.T, s *site) { write(t, s.dir+"/pass", "secret") }},
	{name: "key of another repository", args: []string{"snapshots", "--identity-file", "$DIR/other"}, code: exitWrongKey, message: `wrong passphrase or key`,
		prepare: func(t *testing.T, s *site) {
			write(t, s.dir+"/other", "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU\n")
		}},
	{name: "identity file is something else", args: []string{"snapshots", "--identity-file", "$DOCS/a.txt"}, code: exitWrongKey, message: `unusable key`},
	{name: "key slot damaged", args: []string{"snapshots"}, code: exitDamage, message: `damaged key slot`,
		prepare: func(t *testing.T, s *site) { s.change(t, "keys/", flip) }, lossy: true},
	{name: "key slots gone", args: []string{"snapshots"}, code: exitWrongKey, message: `no key slot`,
		prepare: func(t *testing.T, s *site) { s.change(t, "keys/", remove) }, lossy: true},
	{name: "unknown command", args: []string{"frobnicate"}, code: exitUsage, message: `unknown command "frobnicate"`},
	{name: "unknown flag", args: []string{"backup", "--frobnicate", "$DOCS"}, code: exitUsage, message: `unknown flag: --frobnicate`},
	{name: "bad value of a flag", args: []string{"backup", "--limit-upload", "fast", "$DOCS"}, code: exitUsage, message: `--limit-upload`},
	{name: "argument missing", args: []string{"restore"}, code: exitUsage, message: `want one snapshot`},
	{name: "snapshot not found", args: []string{"ls", "deadbeef"}, code: exitNoSnapshot, message: `"deadbeef": no such snapshot`},
	{name: "no snapshot that old", args: []string{"ls", "2001-01-01"}, code: exitNoSnapshot, message: `no such snapshot`},
	{name: "path not in snapshot", args: []string{"dump", "latest", "/nowhere"}, code: exitNoSnapshot, message: `has no /nowhere`},
	{name: "path not in any snapshot", args: []string{"history", "/nowhere"}, code: exitNoSnapshot, message: `no snapshot has /nowhere`},
	{name: "root missing", args: []string{"backup", "$DOCS", "$DIR/gone"}, code: exitFatal, message: `root ".*gone": no such file or directory; no snapshot was made`},
	{name: "command fails", args: []string{"backup", "--stdin-from-command", "--", "false"}, code: exitFatal, message: `exit status 1.*no snapshot was made`},
	{name: "command is killed", args: []string{"backup", "--stdin-from-command", "--", "sh", "-c", "kill -9 $$"}, code: exitFatal, message: `signal: killed`},
	{name: "command writes nothing", args: []string{"backup", "--stdin-from-command", "--", "true"}, code: exitFatal, message: `no snapshot was made`},
	{name: "list of paths missing", args: []string{"backup", "--files-from", "$DIR/list"}, code: exitFatal, message: `--files-from`},
	{name: "exclude file missing", args: []string{"backup", "--exclude-file", "$DIR/list", "$DOCS"}, code: exitFatal, message: `--exclude-file`},
	{name: "malformed pattern", args: []string{"backup", "--exclude", "[a", "$DOCS"}, code: exitUsage, message: `malformed pattern`},
	{name: "repository in the way", args: []string{"init", "-r", "$REPO", "--identity-file", "$DIR/config/snap/key"}, code: exitFatal, message: `repository already`},
	{name: "files in the way", args: []string{"init", "-r", "$DOCS", "--identity-file", "$DIR/config/snap/key"}, code: exitFatal, message: `not empty`},
	{name: "last key", args: []string{"key", "remove", "--identity-file", "$DIR/config/snap/key", "--force=false", "$KEY"}, code: exitUsage, message: `is the key in use`},
	{name: "all data damaged", args: []string{"dump", "latest", "$DOCS/big"}, code: exitDamage, message: `damage|corrupt|match`,
		prepare: func(t *testing.T, s *site) { s.change(t, "data/", flip) }, lossy: true},
	{name: "all data gone", args: []string{"dump", "latest", "$DOCS/big"}, code: exitDamage, message: `.`,
		prepare: func(t *testing.T, s *site) { s.change(t, "data/", remove) }, lossy: true},
	{name: "trees damaged", args: []string{"ls", "latest"}, code: exitDamage, message: `.`,
		prepare: func(t *testing.T, s *site) { s.change(t, "meta/", flip) }, lossy: true},
	{name: "index damaged", args: []string{"ls", "latest"}, code: exitDamage, message: `in no pack`,
		prepare: func(t *testing.T, s *site) { s.change(t, "index/", flip) }, lossy: true},
	{name: "snapshot record damaged", args: []string{"ls", "latest"}, code: exitDamage, message: `snapshot`,
		prepare: func(t *testing.T, s *site) { s.change(t, "snapshots/", flip) }, lossy: true},
	{name: "restore target is a file", args: []string{"restore", "latest", "--target", "$DOCS/a.txt"}, code: exitFatal, message: `not a directory`},
	{name: "dump target exists", args: []string{"dump", "--target", "$DOCS/a.txt", "latest", "$DOCS/a.txt"}, code: exitUsage, message: `exists`},
	{name: "restore without a target", args: []string{"restore", "latest"}, code: exitUsage, message: `no folder to restore to`},
}

func (s *site) expand(t *testing.T, args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if strings.Contains(arg, "$KEY") {
			_, stdout, _ := call(t, s.env, "key", "list", "--json")
			var keys []keyJSON
			if err := json.Unmarshal([]byte(stdout), &keys); err != nil {
				t.Fatal(err)
			}
			arg = keys[0].ID
		}
		out[i] = strings.NewReplacer("$REPO", s.repo, "$DOCS", s.docs, "$DIR", s.dir).Replace(arg)
	}
	return out
}

// TestFailures checks for each kind of failure: one line that says what failed, a hint, its exit
// code, the same as JSON, and that nothing is lost.
func TestFailures(t *testing.T) {
	t.Parallel()
	base := newSite(t)
	for _, c := range failures {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			s := base.copy(t)
			s.docs = base.docs // paths in the snapshot
			// With second copies most of this would not even be noticed.
			for _, folder := range []string{"copy", "parity"} {
				if err := os.RemoveAll(filepath.Join(s.repo, folder)); err != nil {
					t.Fatal(err)
				}
			}
			if c.prepare != nil {
				c.prepare(t, s)
			}
			before := files(t, s.repo)
			args := s.expand(t, c.args)
			code, stdout, stderr := call(t, s.env, args...)
			checkFailure(t, code, stdout, stderr, c.code, c.message)
			code, stdout, stderr = call(t, s.env, append([]string{"--json"}, args...)...)
			checkJSONFailure(t, code, stdout, stderr, c.code, c.message)
			after := files(t, s.repo)
			for name, data := range before {
				if after[name] != data {
					t.Errorf("%s is lost or changed", name)
				}
			}
			if !c.lossy {
				s.restores(t, base)
			}
		})
	}
}

// checkFailure checks what a failed command printed.
func checkFailure(t *testing.T, code int, stdout, stderr string, wantCode int, want string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSuffix(stderr, "\n"), "\n"), func(l string) bool { return strings.HasPrefix(l, "warning: ") })
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "snap: ") || !strings.HasPrefix(lines[1], "hint: ") {
		t.Errorf("want a line with the error and one with a hint, got\n%s", stderr)
	}
	if ok, _ := regexp.MatchString(want, lines[0]); !ok {
		t.Errorf("%q does not match %q", lines[0], want)
	}
	if strings.Contains(stdout, "snap: ") {
		t.Errorf("standard output has %q", stdout)
	}
}

func checkJSONFailure(t *testing.T, code int, stdout, stderr string, wantCode int, want string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("--json: exit code %d, want %d", code, wantCode)
	}
	var last exitError
	for line := range strings.Lines(stdout + stderr) {
		if err := json.Unmarshal([]byte(line), &last); err != nil && !strings.HasPrefix(line, "[") {
			t.Errorf("--json: %q: %v", line, err)
		}
	}
	if last.MessageType != "exit_error" || last.Code != wantCode || last.Hint == "" {
		t.Errorf("--json: %+v", last)
	}
	if ok, _ := regexp.MatchString(want, last.Message); !ok {
		t.Errorf("--json: %q does not match %q", last.Message, want)
	}
}

// restores checks that the snapshot of base comes back whole.
func (s *site) restores(t *testing.T, base *site) {
	t.Helper()
	out := t.TempDir()
	env := maps.Clone(base.env)
	code, _, stderr := call(t, env, "restore", "-r", s.repo, "--identity-file", base.dir+"/config/snap/key", "--no-cache", "latest:"+base.docs, "--target", out)
	if code != 0 {
		t.Errorf("restore afterwards: exit code %d: %s", code, stderr)
	}
	if got, want := files(t, out), files(t, base.docs); !maps.Equal(got, want) {
		t.Errorf("what is restored afterwards differs: %d files, want %d", len(got), len(want))
	}
}

func TestInterruptedExitCode(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	var out, errs syncBuffer
	code := run(ctx, system{args: []string{"backup", s.docs}, stdin: new(syncBuffer), stdout: &out, stderr: &errs, getenv: func(n string) string { return s.env[n] }})
	checkFailure(t, code, out.String(), errs.String(), exitInterrupted, `^snap: interrupted; no snapshot was made, earlier ones are intact$`)
	s.restores(t, s)
}

func TestAmbiguousExitCode(t *testing.T) {
	code, hint := classify(fmt.Errorf("%q: %w", "abcd", repo.ErrAmbiguous))
	if code != exitAmbiguous || hint == "" {
		t.Errorf("code %d, hint %q", code, hint)
	}
}

func TestSecondSignalKills(t *testing.T) {
	// That is, after the first one signals do what they do without us.
	ctx, stop := untilSignal(t.Context())
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if context.Cause(ctx) != errInterrupted {
		t.Errorf("cause %v", context.Cause(ctx))
	}
}

// mountTemp mounts a small file system in memory, or skips the test.
func mountTemp(t *testing.T, dir, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

func TestNoSpace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTemp(t, disk, "size=3m")
	key := s.dir + "/config/snap/key"
	place := []string{"-r", disk + "/repo", "--identity-file", key}
	for _, args := range [][]string{{"init"}, {"backup", s.docs}} {
		if code, _, stderr := call(t, s.env, append(args, place...)...); code != 0 {
			t.Fatalf("%v: %s", args, stderr)
		}
	}
	noise := make([]byte, 4<<20)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	write(t, s.docs+"/noise", string(noise))
	code, stdout, stderr := call(t, s.env, append([]string{"backup", s.docs}, place...)...)
	checkFailure(t, code, stdout, stderr, exitNoSpace, `no space left on device; no snapshot was made, earlier ones are intact`)
	os.Remove(s.docs + "/noise")
	s.repo = disk + "/repo"
	s.restores(t, s)

	// A restore to a full disk says so too, and what is in the repository is safe.
	small := filepath.Join(s.dir, "small")
	os.Mkdir(small, 0o755)
	mountTemp(t, small, "size=256k")
	code, stdout, stderr = call(t, s.env, append([]string{"restore", "latest", "--target", small}, place...)...)
	checkFailure(t, code, stdout, stderr, exitNoSpace, `no space left on device; the repository is unchanged`)
}

// TestFullCacheDisk keeps metadata and index of a repository elsewhere on a disk that is full, and on one that becomes full, or read-only.
func TestFullCacheDisk(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey,
		"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	server := s3test.Start(t)
	s := newSite(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTemp(t, disk, "size=64k")
	env := maps.Clone(s.env)
	maps.Copy(env, map[string]string{"SNAP_REPOSITORY": "s3:http://" + server.Proxy.Addr() + "/bucket/repo", "SNAP_PASSWORD": "secret", "SNAP_CACHE_DIR": disk + "/cache"})
	for i := range 2000 { // metadata that is more than the disk holds
		write(t, fmt.Sprintf("%s/%d/%x", s.docs, i%10, sha256.Sum256([]byte{byte(i), byte(i >> 8)})), strconv.Itoa(i))
	}
	ok := func(warned bool, args ...string) {
		t.Helper()
		code, _, stderr := call(t, env, args...)
		if n := strings.Count(stderr, "metadata cannot be kept"); code != 0 || n > 1 || warned && n == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	ok(false, "init")
	ok(true, "backup", s.docs)
	if err := os.RemoveAll(disk + "/cache"); err != nil {
		t.Fatal(err)
	}
	ok(false, "ls", "latest")
	write(t, disk+"/full", "")
	for block := make([]byte, 4096); ; { // not a byte is left
		f, err := os.OpenFile(disk+"/full", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(block)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"backup", s.docs}, {"check"}, {"forget", "--keep-last", "1", "--prune"}, {"restore", "latest", "--target", s.dir + "/back"}} {
		ok(false, args...)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount read-only: %v: %s", err, out)
	}
	ok(true, "backup", s.docs)
	ok(false, "ls", "latest")
}

func TestReadOnlyTarget(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTemp(t, disk, "size=16m")
	if err := os.CopyFS(disk+"/repo", os.DirFS(s.repo)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount read-only: %v: %s", err, out)
	}
	place := []string{"-r", disk + "/repo", "--identity-file", s.dir + "/config/snap/key"}
	for _, args := range [][]string{{"backup", s.docs}, {"tag", "--add", "x", "latest"}} {
		code, stdout, stderr := call(t, s.env, append(args, place...)...)
		checkFailure(t, code, stdout, stderr, exitReadOnly, `read-only file system`)
	}
	code, stdout, stderr := call(t, s.env, "init", "-r", disk+"/new", "--identity-file", s.dir+"/config/snap/key")
	checkFailure(t, code, stdout, stderr, exitReadOnly, `read-only file system; no repository was made`)
	code, stdout, stderr = call(t, s.env, append([]string{"restore", "latest", "--target", disk + "/out"}, place...)...)
	checkFailure(t, code, stdout, stderr, exitReadOnly, `read-only file system; the repository is unchanged`)
	s.repo = disk + "/repo"
	s.restores(t, s)
}
