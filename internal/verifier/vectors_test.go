package verifier

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/zeebo/blake3"
)

// decoders say by kind of vector what this package makes of one.
var decoders = map[string]func(t *testing.T, v *vectortest.Vector) ([]string, error){
	"varint": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		in := &input{rest: v.Data}
		n := in.varint()
		return []string{fmt.Sprintf("value %d", n)}, in.end()
	},
	"box": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		plain, err := keyOf(t, v).open(byte(number(t, v, "box-kind")), v.Data)
		return []string{fmt.Sprintf("plain %x", plain)}, err
	},
	"record": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		body, err := unpack(v.Data, number(t, v, "limit"))
		return []string{fmt.Sprintf("body %x", body)}, err
	},
	"chunkid": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		k := &keys{idKey: [32]byte(v.Bytes(t, "id-key"))}
		return []string{fmt.Sprintf("id %x", k.idOf(byte(number(t, v, "chunk-kind")), v.Data))}, nil
	},
	"segment":    describeSegment,
	"pack":       describePack,
	"index":      describeIndex,
	"leaf":       describeLeaf,
	"refs":       describeRefs,
	"inner":      describeInner,
	"snapshot":   describeSnapshot,
	"label":      describeLabel,
	"slot":       describeSlot,
	"contentkey": describeContentKey,
	"directory": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		rows, err := parseDirectory(v.Data)
		return describeRows(nil, rows), err
	},
	"list": func(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
		parts, err := parseList(v.Data, int64(number(t, v, "length")))
		return describeParts(nil, parts), err
	},
	"config": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		c, err := parseConfig(v.Data)
		if err != nil {
			return nil, err
		}
		return []string{fmt.Sprintf("id %x", c.id), fmt.Sprintf("sum %x", c.sum)}, nil
	},
}

func TestVectors(t *testing.T) {
	kinds := vectortest.Kinds(t)
	if len(kinds) != len(decoders) {
		t.Errorf("vectors of the kinds %q, decoders of %d", kinds, len(decoders))
	}
	for _, kind := range kinds {
		for _, v := range vectortest.Load(t, kind) {
			lines, err := decoders[kind](t, &v)
			got := vectortest.OK
			switch {
			case errors.Is(err, ErrDamaged):
				got = vectortest.Corrupt
			case errors.Is(err, ErrNewer):
				got = vectortest.Newer
			case err != nil:
				got = "an error of no kind"
			}
			if got != v.Expect {
				t.Errorf("%s/%s (%s): %s (%v), want %s", kind, v.Name, v.Header["comment"], got, err, v.Expect)
			} else if err == nil && !slices.Equal(lines, v.Want) {
				t.Errorf("%s/%s: got\n%s\nwant\n%s", kind, v.Name, strings.Join(lines, "\n"), strings.Join(v.Want, "\n"))
			}
		}
	}
}

func number(t *testing.T, v *vectortest.Vector, key string) int {
	t.Helper()
	n, err := strconv.Atoi(v.Header[key])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func keyOf(t *testing.T, v *vectortest.Vector) *boxKey {
	t.Helper()
	return newBoxKey(v.Bytes(t, "key"), [16]byte(v.Bytes(t, "repository")))
}

func describeSegment(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	k := &keys{idKey: [32]byte(v.Bytes(t, "id-key"))}
	var dictionary []byte
	if v.Header["dictionary"] != "" {
		dictionary = v.Bytes(t, "dictionary")
	}
	chunks, err := parseSegment(v.Data, dictionary)
	for _, c := range chunks {
		lines = append(lines, fmt.Sprintf("chunk %d %x", len(c), k.idOf(byte(number(t, v, "chunk-kind")), c)))
	}
	return lines, err
}

func describeRows(lines []string, rows []segmentRow) []string {
	for i, s := range rows {
		line := fmt.Sprintf("segment %d %d %d", s.kind, s.offset, s.length)
		if s.back > 0 {
			line += fmt.Sprintf(" dictionary %d", i-s.back)
		}
		lines = append(lines, line)
		for i, id := range s.ids {
			lines = append(lines, fmt.Sprintf("chunk %x %d", id, s.lengths[i]))
		}
	}
	return lines
}

func describeParts(lines []string, parts []part) []string {
	for _, p := range parts {
		lines = append(lines, fmt.Sprintf("part %x %d", p.id, p.length))
	}
	return lines
}

func describePack(t *testing.T, v *vectortest.Vector) ([]string, error) {
	key := keyOf(t, v)
	row, err := readPack(bytes.NewReader(v.Data), int64(len(v.Data)), &keys{repo: key.repo, meta: key})
	if err != nil {
		return nil, err
	}
	sum := blake3.Sum256(v.Data)
	return describeRows([]string{fmt.Sprintf("pack %s class %d size %d", hex.EncodeToString(sum[:]), row.class, row.size)}, row.segments), nil
}

func describeIndex(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	superseded, rows, err := parseIndex(v.Data)
	for _, name := range superseded {
		lines = append(lines, fmt.Sprintf("supersedes %x", name))
	}
	for _, r := range rows {
		lines = describeRows(append(lines, fmt.Sprintf("pack %x class %d size %d", r.name, r.class, r.size)), r.segments)
	}
	return lines, err
}

func describeLeaf(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	runs, err := parseLeaf(v.Data)
	for _, r := range runs {
		lines = append(lines, fmt.Sprintf("run %q flags=%d digest=%x", r.path, r.flags, r.digest))
		for i := range r.entries {
			lines = append(lines, describeEntry(&r.entries[i]))
		}
	}
	return lines, err
}

func describeEntry(e *entry) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	put("entry %q kind=%d mode=%04o owner=%d:%d %q:%q mtime=%d.%09d ctime=%d.%09d inode=%d size=%d", e.name, e.kind, e.owner.mode, e.owner.uid, e.owner.gid,
		e.owner.user, e.owner.group, e.mtime.sec, e.mtime.nsec, e.ctime.sec, e.ctime.nsec, e.inode, e.size)
	if e.target != "" {
		put(" target=%q", e.target)
	}
	if e.rdev != 0 {
		put(" rdev=%d", e.rdev)
	}
	if e.links > 1 {
		put(" links=%d:%d", e.device, e.links)
	}
	for _, a := range e.attrs {
		put(" xattr=%q:%q", a[0], a[1])
	}
	if e.flags != 0 {
		put(" flags=%d", e.flags)
	}
	if e.marks != 0 {
		put(" marks=%d", e.marks)
	}
	if e.problem != "" {
		put(" problem=%q", e.problem)
	}
	if e.atime != nil {
		put(" atime=%d.%09d", e.atime.sec, e.atime.nsec)
	}
	return b.String()
}

func describeRefs(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	runs, err := parseLeaf(v.Bytes(t, "leaf"))
	if err != nil {
		t.Fatal(err)
	}
	refs, err := parseRefs(v.Data)
	if err == nil {
		err = attach(runs, refs)
	}
	for _, e := range runs[0].entries {
		lines = append(lines, fmt.Sprintf("file %q %d listed=%v", e.name, e.size, e.listed))
		lines = describeParts(lines, e.parts)
	}
	return lines, err
}

func describeInner(t *testing.T, v *vectortest.Vector) ([]string, error) {
	level, children, err := parseInner(v.Data)
	lines := []string{fmt.Sprintf("level %d", level)}
	for _, c := range children {
		lines = append(lines, fmt.Sprintf("child %q %q page=%x refs=%x runs=%d entries=%d files=%d size=%d", c.path, c.name, c.page, c.refs, c.runs, c.entries, c.files, c.size))
	}
	return lines, err
}

func describeSnapshot(t *testing.T, v *vectortest.Vector) ([]string, error) {
	s, err := parseSnapshot("", v.Data)
	if err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("root %x", s.root), fmt.Sprintf("source %x", s.source), fmt.Sprintf("source_name %q", s.sourceName),
		"time " + s.time.UTC().Format(time.RFC3339Nano), fmt.Sprintf("sequence %d", s.sequence), fmt.Sprintf("tags %q", s.tags)}, nil
}

func describeLabel(t *testing.T, v *vectortest.Vector) ([]string, error) {
	l, err := parseLabel("", v.Data)
	if err != nil {
		return nil, err
	}
	return []string{"snapshot " + l.snapshot, fmt.Sprintf("counter %d", l.counter), fmt.Sprintf("tags %q", l.tags), fmt.Sprintf("pin %v", l.pin), fmt.Sprintf("note %q", l.note)}, nil
}

func describeSlot(t *testing.T, v *vectortest.Vector) ([]string, error) {
	c, err := parseConfig(v.Bytes(t, "config"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSlot(v.Header["name"], v.Data)
	if err != nil {
		return nil, err
	}
	credential, err := Passphrase(v.Header["passphrase"])
	if s.slotType == "age" {
		credential, err = Identities(strings.NewReader(strings.ReplaceAll(v.Header["identity"], " ", "\n")))
	}
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.open(c, credential)
	if err != nil {
		return nil, err
	}
	if (k.identity == nil) != (s.role == "writer") {
		t.Errorf("%s: content identity", v.Name)
	}
	return []string{"role " + s.role, fmt.Sprintf("label %q", s.label), fmt.Sprintf("id-key %x", k.idKey), fmt.Sprintf("metadata-key %x", k.meta.id)}, nil
}

func describeContentKey(t *testing.T, v *vectortest.Vector) ([]string, error) {
	identity, err := age.ParseHybridIdentity(v.Header["identity"])
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{identity: identity}
	key, err := k.unwrapContentKey(v.Header["name"], v.Data)
	if err != nil {
		return nil, err
	}
	return []string{"id " + hex.EncodeToString(key.id[:])}, nil
}
