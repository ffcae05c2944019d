package goldentest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/verifier"
	"github.com/snapkeep/snap/repo"
	"github.com/zeebo/blake3"
)

// versions are the golden repositories.
var versions = []string{"golden-v1", "golden-v2"}

func open(t *testing.T, g *Golden, c *repo.Credential, err error) *repo.Repo {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	store, err := repo.OpenStore(t.Context(), g.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Open(t.Context(), store, c, repo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); store.Close() })
	return r
}

func (g *Golden) open(t *testing.T) *repo.Repo {
	t.Helper()
	c, err := repo.Passphrase(g.Passphrase)
	return open(t, g, c, err)
}

// lines compares what was found with the manifest.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%d lines, want %d; the first difference:\n%.500q\nwant\n%.500q", len(got), len(want), got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
		}
	}
}

// The engine's own reading gives the manifest that the verifier made.
func TestGoldenIsRead(t *testing.T) {
	for _, version := range versions {
		g := Load(t, version)
		r := g.open(t)
		all, err := r.Snapshots(t.Context(), repo.Filter{})
		if err != nil || len(all) != len(g.Snapshots) {
			t.Fatalf("%d snapshots, %v", len(all), err)
		}
		var got []string
		for i, s := range all {
			if s.ID.String() != g.Snapshots[i] || string(s.SourceName) != "golden:/tree\xff" || s.UID != 7 || string(s.Host) != "golden" || s.Sequence != uint64(i+2) {
				t.Errorf("snapshot %d is %+v", i, s)
			}
			err := r.Walk(t.Context(), s, "", func(dir string, entries []repo.Entry) error {
				for k := range entries {
					x := &entries[k]
					got = append(got, s.ID.String()+" "+describe(t, r, tree.Join(dir, x.Name), x))
					if x.Listed != (x.Name == "sparse") { // it has 1,200 parts
						t.Errorf("%q is listed: %v", x.Name, x.Listed)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		compare(t, got, g.Manifest)
	}
}

var kinds = map[tree.Kind]string{tree.Regular: "file", tree.Directory: "dir", tree.Symlink: "symlink", tree.Fifo: "fifo", tree.Socket: "socket",
	tree.CharDevice: "chardev", tree.BlockDevice: "blockdev"}

// describe writes an entry as the verifier does.
func describe(t *testing.T, r *repo.Repo, path string, x *repo.Entry) string {
	t.Helper()
	hash := "-"
	if x.Kind == tree.Regular {
		f, err := r.OpenEntry(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		h := blake3.New()
		if _, err := io.Copy(h, f); err != nil {
			t.Fatal(err)
		}
		hash = hex.EncodeToString(h.Sum(nil))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q %s %04o %d:%d %d %d.%09d %s", path, kinds[x.Kind], x.Mode, x.UID, x.GID, x.Size, x.ModTime.Sec, x.ModTime.Nsec, hash)
	if x.Target != "" {
		fmt.Fprintf(&b, " target=%q", x.Target)
	}
	if x.Kind == tree.CharDevice || x.Kind == tree.BlockDevice {
		fmt.Fprintf(&b, " device=%d", x.Rdev)
	}
	if x.Links > 1 {
		fmt.Fprintf(&b, " links=%d inode=%d:%d", x.Links, x.Device, x.Inode)
	}
	for _, a := range x.Xattrs {
		fmt.Fprintf(&b, " xattr=%q:%q", a.Name, a.Value)
	}
	if x.Marks != 0 {
		fmt.Fprintf(&b, " marks=%d", x.Marks)
	}
	return b.String()
}

// The verifier still lists what it listed, with each way to find chunks and each full key.
func TestGoldenIsVerified(t *testing.T) {
	for _, version := range versions {
		g := Load(t, version)
		passphrase, err := verifier.Passphrase(g.Passphrase)
		if err != nil {
			t.Fatal(err)
		}
		identity, err := verifier.Identities(strings.NewReader(g.Identity))
		if err != nil {
			t.Fatal(err)
		}
		for _, useIndex := range []bool{false, true} {
			c := passphrase
			if useIndex {
				c = identity
			}
			r, err := verifier.Open(os.DirFS(g.Dir), c, verifier.Options{UseIndex: useIndex, Damage: func(what string, err error) { t.Errorf("%s: %v", what, err) }})
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := r.Verify(&out); err != nil {
				t.Fatal(err)
			}
			compare(t, strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), g.Manifest)
		}
	}
}

// What is restored is what the manifest says, by system calls. Without root owners, devices and some attributes are left out.
func TestGoldenIsRestored(t *testing.T) {
	for _, version := range versions {
		g := Load(t, version)
		r := g.open(t)
		all, err := r.Snapshots(t.Context(), repo.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			target := t.TempDir()
			isRoot := os.Geteuid() == 0
			res, err := r.Restore(t.Context(), s, repo.RestoreOptions{Target: target, NoOwner: !isRoot, NoXattrs: !isRoot, Problem: func(path string, err error) {
				if isRoot {
					t.Errorf("%q: %v", path, err)
				}
			}})
			if err != nil || res.Failed > 0 && isRoot {
				t.Fatal(res, err)
			}
			g.checkRestored(t, s.ID.String(), target, isRoot)
		}
	}
}

func (g *Golden) checkRestored(t *testing.T, id, target string, isRoot bool) {
	t.Helper()
	var want, got []string
	for _, line := range g.Manifest {
		if rest, ok := strings.CutPrefix(line, id+" "); ok && (isRoot || !strings.Contains(line, " chardev ") && !strings.Contains(line, " blockdev ")) {
			want = append(want, comparable(rest, isRoot))
		}
	}
	err := filepath.WalkDir(target, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == target {
			return err
		}
		got = append(got, comparable(look(t, path, path[len(target)+1:]), isRoot))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want)
}

// comparable leaves out inode numbers, attributes and marks, and owners and modes without root.
func comparable(line string, isRoot bool) string {
	for _, cut := range []string{" inode=", " xattr=", " marks="} {
		line, _, _ = strings.Cut(line, cut)
	}
	if isRoot {
		return line
	}
	quoted, rest, _ := strings.Cut(line[1:], `" `)
	words := strings.Fields(rest) // kind, mode, owner, size, …
	return fmt.Sprintf("%q %s %s", quoted, words[0], strings.Join(words[3:], " "))
}

// look describes a restored file as the manifest does.
func look(t *testing.T, path, name string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	kind := map[uint32]string{syscall.S_IFREG: "file", syscall.S_IFDIR: "dir", syscall.S_IFLNK: "symlink", syscall.S_IFIFO: "fifo",
		syscall.S_IFSOCK: "socket", syscall.S_IFCHR: "chardev", syscall.S_IFBLK: "blockdev"}[st.Mode&syscall.S_IFMT]
	hash, size := "-", int64(0)
	if kind == "file" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := blake3.Sum256(data)
		hash, size = hex.EncodeToString(sum[:]), st.Size
	}
	line := fmt.Sprintf("%q %s %04o %d:%d %d %d.%09d %s", name, kind, st.Mode&0o7777, st.Uid, st.Gid, size, st.Mtim.Sec, st.Mtim.Nsec, hash)
	if kind == "symlink" {
		link, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		line += fmt.Sprintf(" target=%q", link)
	}
	if kind == "chardev" || kind == "blockdev" {
		line += fmt.Sprintf(" device=%d", st.Rdev)
	}
	if st.Nlink > 1 && kind != "dir" {
		line += fmt.Sprintf(" links=%d", st.Nlink)
	}
	return line
}

func TestGoldenLabelsTrashAndSlots(t *testing.T) {
	for _, version := range versions {
		g := Load(t, version)
		r := g.open(t)
		all, err := r.Snapshots(t.Context(), repo.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			wantTags := []string{"first"}
			if s.ID.String() == g.Tagged {
				wantTags = []string{"golden", "kept"}
			}
			if !slices.Equal(s.Tags, wantTags) || s.Pinned != (s.ID.String() == g.Pinned) {
				t.Errorf("%s: tags %q, pinned %v", s.ID, s.Tags, s.Pinned)
			}
		}
		trash, err := r.Trash(t.Context(), repo.Filter{})
		if err != nil || len(trash) != 1 || trash[0].Snapshot.ID.String() != g.Trashed {
			t.Errorf("trash: %+v, %v", trash, err)
		}
		c, err := repo.AgeIdentities([]byte(g.Identity))
		if full := open(t, g, c, err); full.Role() != repo.RoleFull {
			t.Errorf("role %s", full.Role())
		}
		c, err = repo.AgeIdentities([]byte(g.Writer))
		writer := open(t, g, c, err)
		if writer.Role() != repo.RoleWriter {
			t.Errorf("role %s", writer.Role())
		}
		if err := writer.Walk(t.Context(), all[0], "", func(string, []repo.Entry) error { return nil }); err != nil {
			t.Errorf("a writer does not list: %v", err)
		}
		if _, err := writer.Restore(t.Context(), all[0], repo.RestoreOptions{Target: t.TempDir()}); !errors.Is(err, repo.ErrCannotReadData) {
			t.Errorf("a writer restores: %v", err)
		}
	}
}

// A repository of an older version is written to as well.
func TestGoldenTakesABackup(t *testing.T) {
	for _, version := range versions {
		g := Load(t, version)
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/file", []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		source, err := repo.FromLocal(repo.LocalOptions{Roots: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := g.open(t).Backup(t.Context(), repo.BackupOptions{Source: source, SourceName: "golden:/tree\xff"})
		if err != nil || res.Snapshot.Sequence != 5 {
			t.Fatalf("%+v, %v", res, err)
		}
		f, err := g.open(t).OpenFile(t.Context(), res.Snapshot, dir+"/file")
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(f); err != nil || string(data) != "new" {
			t.Errorf("%q, %v", data, err)
		}
	}
}
