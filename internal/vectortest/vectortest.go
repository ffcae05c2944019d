package vectortest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a vector expects of a decoder.
const (
	OK      = "ok"
	Corrupt = "corrupt"
	Newer   = "newer"
)

// Vector is one file of docs/vectors: one fact.
type Vector struct {
	Kind   string            // the folder: what Data is
	Name   string            // of the file, without .txt
	Expect string            // OK, Corrupt or Newer
	Header map[string]string // the other lines of the header: comment, keys, parameters
	Want   []string          // what a decoder must make of Data, if it is OK
	Data   []byte
}

// Load returns the vectors of a kind. There is at least one.
func Load(t testing.TB, kind string) []Vector {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, kind, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors of the kind %s in %s: %v", kind, dir, err)
	}
	var all []Vector
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Parse(file)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		v.Kind, v.Name = kind, strings.TrimSuffix(filepath.Base(path), ".txt")
		all = append(all, v)
	}
	return all
}

// Kinds returns the kinds of vectors that there are.
func Kinds(t testing.TB) (kinds []string) {
	t.Helper()
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			kinds = append(kinds, e.Name())
		}
	}
	return kinds
}

// Dir returns the folder docs/vectors of the module that the current folder is in.
func Dir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "docs", "vectors"), nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("not in a module")
		}
		dir = above
	}
}

// Parse reads the file of a vector.
func Parse(file []byte) (Vector, error) {
	v := Vector{Header: map[string]string{}}
	head, body, found := bytes.Cut(file, []byte("\n\n"))
	if !found {
		return v, errors.New("no empty line behind the header")
	}
	for line := range strings.SplitSeq(string(head), "\n") {
		key, value, found := strings.Cut(line, ": ")
		_, twice := v.Header[key]
		switch {
		case !found || twice:
			return v, fmt.Errorf("header line %q", line)
		case key == "expect":
			v.Expect = value
		case key == "want":
			v.Want = append(v.Want, value)
		default:
			v.Header[key] = value
		}
	}
	if v.Expect != OK && v.Expect != Corrupt && v.Expect != Newer {
		return v, fmt.Errorf("expects %q", v.Expect)
	}
	if v.Header["comment"] == "" {
		return v, errors.New("no comment")
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	v.Data = data
	return v, err
}

// Format returns the file of a vector, which Parse reads. Keys of the header come in the order of keys.
func (v *Vector) Format(keys []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "expect: %s\n", v.Expect)
	for _, key := range keys {
		if value, ok := v.Header[key]; ok {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
		}
	}
	for _, want := range v.Want {
		fmt.Fprintf(&b, "want: %s\n", want)
	}
	b.WriteByte('\n')
	for rest := v.Data; len(rest) > 0; {
		n := min(32, len(rest))
		fmt.Fprintf(&b, "%x\n", rest[:n])
		rest = rest[n:]
	}
	return b.Bytes()
}

// Bytes returns a header line of hex digits as bytes.
func (v *Vector) Bytes(t testing.TB, key string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Header[key])
	if err != nil || len(b) == 0 {
		t.Fatalf("%s/%s: %s %q is no hex", v.Kind, v.Name, key, v.Header[key])
	}
	return b
}
