// Command generate makes the vectors in docs/vectors anew. It builds the bytes by hand from
// docs/format.md, with fixed randomness; key slots, which age makes with randomness of its own, are
// edited copies of the golden ones in internal/keyring/testdata/vectors.
package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/snapkeep/snap/internal/vectortest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// headerKeys is the order of header lines.
var headerKeys = []string{"comment", "repository", "key", "box-kind", "id-key", "chunk-kind", "dictionary", "limit", "length", "leaf", "name", "config", "passphrase", "identity"}

// header are the parameters of a vector.
type header map[string]string

// maker collects vectors.
type maker struct {
	all  []vectortest.Vector
	seen map[string]bool
}

func (m *maker) add(kind, name, expect, comment string, h header, data []byte, want ...string) {
	v := vectortest.Vector{Kind: kind, Name: name, Expect: expect, Header: header{"comment": comment}, Want: want, Data: data}
	for key, value := range h {
		v.Header[key] = value
	}
	if m.seen[kind+"/"+name] {
		panic("generate: two vectors of the name " + kind + "/" + name)
	}
	m.seen[kind+"/"+name] = true
	m.all = append(m.all, v)
}

// bad is a vector that is refused.
type bad struct {
	name, expect, comment string
	data                  []byte
}

func (m *maker) bad(kind string, h header, list ...bad) {
	for _, b := range list {
		m.add(kind, b.name, b.expect, b.comment, h, b.data)
	}
}

func run() error {
	dir, err := vectortest.Dir()
	if err != nil {
		return err
	}
	all, err := vectors(dir)
	if err != nil {
		return err
	}
	for i := range all {
		v := &all[i]
		folder := filepath.Join(dir, v.Kind)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, v.Name+".txt"), v.Format(headerKeys), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// vectors returns all vectors, for the folder dir.
func vectors(dir string) ([]vectortest.Vector, error) {
	m := &maker{seen: map[string]bool{}}
	for _, make := range []func(*maker){varints, boxes, records, chunkIDs, segments, directories, packs, indexes, leaves, references, lists, inners, snapshots, labels, configs} {
		make(m)
	}
	err := slots(m, filepath.Join(filepath.Dir(filepath.Dir(dir)), "internal/keyring/testdata/vectors"))
	return m.all, err
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
