package nss

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHome(t *testing.T) {
	m := machine{etc: t.TempDir()}
	if got := m.home(7); got != "" {
		t.Errorf("without a file: %q", got)
	}
	const passwd = "# 7\nseven:x:77:7::/other:\nshort:x:7:7:\nodd:x:7:7::no-folder:/bin/sh\nseven:x:7:7:A, B:/home/seven:/bin/sh\nagain:x:7:7::/home/again:/bin/sh\n"
	if err := os.WriteFile(filepath.Join(m.etc, "passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[int]string{7: "/home/seven", 77: "/other", 8: ""} {
		if got := m.home(uid); got != want {
			t.Errorf("%d: %q, want %q", uid, got, want)
		}
	}
}
