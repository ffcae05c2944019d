package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"filippo.io/age"
)

// checkPrintable fails if text holds anything that a terminal or log must not get.
func checkPrintable(t *testing.T, what, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: not UTF-8", what)
	}
	for i, r := range text {
		if r != '\n' && !strconv.IsPrint(r) {
			t.Errorf("%s: %q at %d of %q", what, r, i, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}

// naughtySite makes a site whose files, host, tags and source have names that a terminal must not
// see, and two snapshots that differ.
func naughtySite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	for i, name := range naughtyNames() {
		write(t, filepath.Join(s.docs, name), name)
		if i%4 == 0 || name == "\x1b[2J" {
			write(t, filepath.Join(s.docs, "dir"+name, name), name)
		}
	}
	if err := os.Symlink("to\x1b[31m\xff", filepath.Join(s.docs, "link\x07")); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(s.dir, "root\x1b\xff")
	write(t, filepath.Join(root, "file"), "x")
	args := []string{"backup", s.docs, root, "--host", "host\x1b]0;x\x07\xff", "--tag", "tag\x1b[2J\u202e", "--source", "src\x9b\xfe",
		"--stream", "stream\x1b\xff.sql=printf 'x\\033[2Jy'; printf 'err\\033[2J\\n' >&2", "--exclude", "none\x1b\xff"}
	s.quiet(t, 0, args...)
	for _, name := range naughtyNames() {
		write(t, filepath.Join(s.docs, name), name+"changed\x1b[2J\u009b\n")
	}
	if err := os.RemoveAll(filepath.Join(s.docs, "dir\x1b[2J")); err != nil {
		t.Fatal(err)
	}
	s.quiet(t, 0, args...)
	return s
}

// quiet runs a command twice, as text and as JSON, and checks that nothing raw comes out.
func (s *site) quiet(t *testing.T, code int, args ...string) (stdout, asJSON string) {
	t.Helper()
	what := strings.Join(args[:min(2, len(args))], " ")
	got, stdout, stderr := call(t, s.env, args...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d: %q", what, got, code, stderr)
	}
	if slices.Contains(args, "--content") {
		checkPrintable(t, what, strings.ReplaceAll(stdout, "\t", "")) // lines of files keep their tabs
	} else {
		checkPrintable(t, what, stdout)
	}
	checkPrintable(t, what, stderr)
	got, asJSON, stderr = call(t, s.env, append([]string{"--json"}, args...)...)
	if got != code {
		t.Errorf("--json %q: exit code %d, want %d: %q", what, got, code, stderr)
	}
	for line := range strings.Lines(asJSON + stderr) {
		checkPrintable(t, "--json "+what, line)
		if !json.Valid([]byte(line)) {
			t.Errorf("--json %q: not JSON: %q", what, line)
		}
	}
	return stdout, asJSON
}

func TestNaughtyNames(t *testing.T) {
	t.Parallel()
	s := naughtySite(t)
	namesSurviveInJSON(t, s)
	namesComeBack(t, s)
	noRawByteIsPrinted(t, s)
}

// noRawByteIsPrinted runs every command that prints names, or could in an error.
func noRawByteIsPrinted(t *testing.T, s *site) {
	t.Helper()
	names := []string{"\x1b[2J", "b\xff", "new\nline", "turn\u202etxt.exe"}
	commands := [][]string{
		{"snapshots"}, {"ls", "latest"}, {"ls", "-l", "latest"}, {"ls", "latest:" + s.docs}, {"find", "*"}, {"find", "-l", "-i", "/**"},
		{"diff", "latest~2", "latest"}, {"diff", "--content", "--metadata", "latest~2", "latest"}, {"stats"}, {"backup", "-vv", s.docs, "-n"},
		{"restore", "latest", "-vv", "--target", filepath.Join(s.dir, "out\x1b\xff")}, {"key", "list"},
		{"tag", "--add", "more\x07\u202e", "latest"},
		{"dump", "--target", filepath.Join(s.dir, "tar\x1b"), "latest", s.docs},
		{"key", "add", "--label", "label\x1b[2J", "--recipient", s.recipient(t)},
	}
	for _, n := range names {
		commands = append(commands, []string{"history", filepath.Join(s.docs, n)}, []string{"find", strings.ReplaceAll(n, "[", "?")}, []string{"ls", "latest", filepath.Join(s.docs, n)})
	}
	for _, args := range commands {
		if args[0] == "dump" {
			code, stdout, stderr := call(t, s.env, args...)
			if code != 0 || stdout != "" {
				t.Errorf("dump: exit code %d: %q", code, stderr)
			}
			checkPrintable(t, "dump", stderr)
			continue
		}
		s.quiet(t, 0, args...)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitFatal, []string{"backup", "/no\x1b[2J\xff"}}, {exitNoSnapshot, []string{"ls", "\x1b[2J\xff"}}, {exitNoSnapshot, []string{"ls", "latest:/\x1b[2J\xff"}},
		{exitUsage, []string{"\x1b[2J\xff"}}, {exitUsage, []string{"ls", "--\x1b[2J\xff"}}, {exitNoRepository, []string{"ls", "x", "-r", s.dir + "/\x1b[2J\xff"}},
		{exitUsage, []string{"backup", "x", "--exclude", "[\x1b[2J\xff"}}, {exitNoSnapshot, []string{"history", "/\x1b\xff"}},
		{exitFatal, []string{"backup", "--stdin-from-command", "--", "sh", "-c", "printf '\\033[2J\\377' >&2; exit 1"}},
		{exitWrongKey, []string{"ls", "x", "-p", "/\x1b\xff"}}, {exitUsage, []string{"mount", "/\x1b\xff"}},
		{exitFatal, []string{"backup", "--files-from", "/\x1b\xff"}},
	} {
		s.quiet(t, c.code, c.args...)
	}
}

// recipient makes a file with a public key.
func (s *site) recipient(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.dir, "key\x1b.pub")
	write(t, name, id.Recipient().String()+"\n")
	return name
}

// namesSurviveInJSON reads the names of ls --json back.
func namesSurviveInJSON(t *testing.T, s *site) {
	t.Helper()
	_, stdout, _ := call(t, s.env, "--json", "ls", "latest", s.docs)
	seen := map[string]bool{}
	for line := range strings.Lines(stdout) {
		var n nodeJSON
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			t.Fatal(err)
		}
		name := n.Name
		if n.NameB64 != "" {
			raw, err := base64.StdEncoding.DecodeString(n.NameB64)
			if err != nil {
				t.Fatal(err)
			}
			name = string(raw)
		}
		seen[name] = true
	}
	for _, name := range naughtyNames() {
		if !seen[name] {
			t.Errorf("%q is not there", name)
		}
	}
}

// namesComeBack restores them.
func namesComeBack(t *testing.T, s *site) {
	t.Helper()
	out := filepath.Join(s.dir, "back")
	if code, _, stderr := call(t, s.env, "restore", "latest:"+s.docs, "--target", out); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got, want := files(t, out), files(t, s.docs)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%q: got %q", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}
