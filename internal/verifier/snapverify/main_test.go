package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("passphrase\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{}, {"-nonsense"}, {"-password-file", secret}, {"-password-file", secret, dir, "too many"}, {"-password-file", secret + ".missing", dir},
		{"-identity-file", secret, dir}, {"-password-file", secret, dir}, {"-password-file", secret, "-extract", dir, dir},
	} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != 2 || errs.Len() == 0 || out.Len() > 0 {
			t.Errorf("%q: %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

func TestPrintableShowsNoControls(t *testing.T) {
	for in, want := range map[string]string{"plain ü": "plain ü", "a\x1b[31m": `"a\x1b[31m"`, "\u009b": `"\u009b"`, "bad \xff": `"bad \xff"`} {
		if got := printable(in); got != want || strings.ContainsAny(got, "\x1b\u009b") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
