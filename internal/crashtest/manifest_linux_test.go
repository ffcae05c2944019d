package crashtest

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zeebo/blake3"
)

// manifest is what a folder holds: for each path below it a line that tells type, mode, size, time and
// content.
type manifest map[string]string

// manifestOf reads a folder.
func manifestOf(t testing.TB, folder string) manifest {
	t.Helper()
	m := manifest{}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		rel, err := filepath.Rel(folder, path)
		if err == nil {
			m[rel], err = describe(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func describe(path string) (string, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return "", err
	}
	mode := st.Mode & 0o7777
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return line("dir", mode, 0, st.Mtim.Sec, st.Mtim.Nsec, "-"), nil
	case syscall.S_IFLNK:
		target, err := os.Readlink(path)
		return line("symlink", mode, 0, st.Mtim.Sec, st.Mtim.Nsec, target), err
	}
	data, err := os.ReadFile(path)
	sum := blake3.Sum256(data)
	return line("file", mode, st.Size, st.Mtim.Sec, st.Mtim.Nsec, hex.EncodeToString(sum[:])), err
}

func line(kind string, mode uint32, size, sec, nsec int64, content string) string {
	return fmt.Sprintf("%s %04o %d %d.%09d %s", kind, mode, size, sec, nsec, content)
}

// diff describes how got differs from m, in a few words; empty if it does not.
func (m manifest) diff(got manifest) string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(m)) {
		if have, ok := got[path]; !ok {
			out = append(out, path+" is missing")
		} else if have != m[path] {
			out = append(out, fmt.Sprintf("%s is %q, want %q", path, have, m[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := m[path]; !ok {
			out = append(out, path+" should not be there")
		}
	}
	if len(out) > 5 {
		out = append(out[:5], fmt.Sprintf("and %d more", len(out)-5))
	}
	return strings.Join(out, "; ")
}

// fromVerifier takes what lies below folder out of the lines that the verifier writes, by snapshot.
func fromVerifier(text, folder string) (map[string]manifest, error) {
	out := map[string]manifest{}
	below := strings.TrimPrefix(folder, "/") + "/"
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		id, rest, _ := strings.Cut(l, " ")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, fmt.Errorf("verifier wrote %q", l)
		}
		path, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		if out[id] == nil {
			out[id] = manifest{}
		}
		path, ok := strings.CutPrefix(path, below)
		if !ok {
			continue
		}
		// kind mode uid:gid size time hash attributes…
		f := strings.SplitN(strings.TrimPrefix(rest[len(quoted):], " "), " ", 7)
		if len(f) < 6 {
			return nil, fmt.Errorf("verifier wrote %q", l)
		}
		content := f[5]
		if f[0] == "symlink" && len(f) == 7 {
			target, err := strconv.QuotedPrefix(strings.TrimPrefix(f[6], "target="))
			if err != nil {
				return nil, fmt.Errorf("verifier wrote %q", l)
			}
			content, _ = strconv.Unquote(target)
		}
		out[id][path] = strings.Join([]string{f[0], f[1], f[3], f[4], content}, " ")
	}
	return out, nil
}
