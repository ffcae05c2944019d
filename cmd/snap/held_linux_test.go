package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestRestoreBesideHeldFiles restores files with flags that forbid changes, and others to a place where such are in the way. These stay and are
// named, and the rest comes back.
func TestRestoreBesideHeldFiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to set inode flags")
	}
	dir := t.TempDir()
	env := map[string]string{"HOME": dir + "/home"}
	must := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-ec", "cd "+dir+"\n"+script).CombinedOutput(); err != nil {
			t.Skipf("no inode flags here: %v: %s", err, out)
		}
	}
	t.Cleanup(func() { must("chattr -R -i -a src out || true") })
	must(`mkdir -p src/dir/sub src/grows out/dir out/extra
		for f in plain fixed dir/in dir/sub/deep grows/log; do echo new >src/$f; done
		ln src/fixed src/link
		chattr +i src/fixed src/dir/sub/deep src/dir; chattr +a src/grows src/grows/log`)
	if code, _, stderr := call(t, env, "backup", dir+"/src"); code != 0 {
		t.Fatal(stderr)
	}
	restore := func(want int, flags ...string) string {
		t.Helper()
		code, _, stderr := call(t, env, append([]string{"restore", "latest:" + dir + "/src", "--target", dir + "/out"}, flags...)...)
		if code != want {
			t.Errorf("code %d, want %d: %s", code, want, stderr)
		}
		return stderr
	}
	flags := func() string {
		out, err := exec.Command("sh", "-c", "cd "+dir+"/out && lsattr -d fixed link dir dir/sub dir/sub/deep dir/in grows grows/log plain | cut -d' ' -f1 | tr -d 'e-'").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(out), "\n", ",")
	}
	must("echo old | tee out/plain out/dir/in out/extra/file >/dev/null; chattr +i out/plain out/extra/file; chattr +i out/dir")
	said := restore(exitPartial, "--delete")
	for _, want := range []string{`/plain: rename to "plain": it is immutable`, `/extra: remove "extra": "file" in it: it is immutable`, "2 files could not be restored"} {
		if !strings.Contains(said, want) {
			t.Errorf("it is not told: %q in\n%s", want, said)
		}
	}
	// What has these flags in the snapshot has them again, and what stands in an immutable folder was replaced for that.
	for name, want := range map[string]string{"plain": "old", "dir/in": "new", "fixed": "new", "dir/sub/deep": "new", "grows/log": "new", "extra/file": "old"} {
		if data, err := os.ReadFile(dir + "/out/" + name); err != nil || strings.TrimSpace(string(data)) != want {
			t.Errorf("%s: %q, %v; want %s", name, data, err, want)
		}
	}
	if got, want := flags(), "i,i,i,,i,,a,a,i,"; got != want {
		t.Errorf("flags: %q, want %q", got, want)
	}
	must("chattr -i out/plain out/extra/file")
	restore(exitOK, "--delete")
	restore(exitOK)
	if got, want := flags(), "i,i,i,,i,,a,a,,"; got != want {
		t.Errorf("flags: %q, want %q", got, want)
	}
	if data, err := os.ReadFile(dir + "/out/plain"); err != nil || strings.TrimSpace(string(data)) != "new" {
		t.Errorf("plain: %q, %v", data, err)
	}
	// Into a folder that is immutable itself nothing comes, and each file is named.
	must("chattr -R -i -a out; rm -r out; mkdir out; chattr +i out")
	if said := restore(exitPartial); strings.Count(said, "its folder: it is immutable") < 4 {
		t.Errorf("%s", said)
	}
}
