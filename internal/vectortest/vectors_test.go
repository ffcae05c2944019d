package vectortest_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/record"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

// decoders say by kind of vector what the engine makes of one.
var decoders = map[string]func(t *testing.T, v *vectortest.Vector) ([]string, error){
	"varint": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		r := wire.NewReader(v.Data)
		n := r.Uvarint()
		return []string{fmt.Sprintf("value %d", n)}, r.End()
	},
	"box": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		plain, err := keyOf(t, v).Open(nil, byte(number(t, v, "box-kind")), v.Data)
		return []string{fmt.Sprintf("plain %x", plain)}, err
	},
	"record": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		c, err := record.NewCodec(compress.Default)
		if err != nil {
			t.Fatal(err)
		}
		body, err := c.Unpack(v.Data, number(t, v, "limit"))
		return []string{fmt.Sprintf("body %x", body)}, err
	},
	"chunkid": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		key := pack.IDKey(v.Bytes(t, "id-key"))
		id, _ := key.NewHasher().Sum(pack.Kind(number(t, v, "chunk-kind")), v.Data)
		return []string{fmt.Sprintf("id %s", id)}, nil
	},
	"segment":    segment,
	"directory":  directory,
	"pack":       wholePack,
	"index":      indexFile,
	"leaf":       leaf,
	"refs":       refs,
	"inner":      inner,
	"snapshot":   snapshotRecord,
	"label":      label,
	"slot":       slot,
	"contentkey": contentKey,
	"list": func(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
		list, err := tree.ParseList(v.Data, int64(number(t, v, "length")))
		return parts(nil, list), err
	},
	"config": func(t *testing.T, v *vectortest.Vector) ([]string, error) {
		c, err := keyring.ParseConfig(v.Data)
		if err != nil {
			return nil, err
		}
		return []string{fmt.Sprintf("id %x", c.ID), fmt.Sprintf("sum %x", c.Sum())}, nil
	},
}

var (
	corruptErrors = []error{wire.ErrCorrupt, seal.ErrCorrupt, seal.ErrOtherKey, record.ErrCorrupt, pack.ErrCorrupt, pack.ErrOtherRepository, index.ErrCorrupt,
		tree.ErrCorrupt, snapshot.ErrCorrupt, keyring.ErrCorrupt, keyring.ErrDamagedSlot, keyring.ErrConfigSwapped}
	newerErrors = []error{record.ErrNewer, pack.ErrNewer, index.ErrNewer, tree.ErrNewer, snapshot.ErrNewer, keyring.ErrNewer}
)

func kindOf(err error) string {
	is := func(target error) bool { return errors.Is(err, target) }
	corrupt, newer := slices.ContainsFunc(corruptErrors, is), slices.ContainsFunc(newerErrors, is)
	switch {
	case err == nil:
		return vectortest.OK
	case corrupt && !newer:
		return vectortest.Corrupt
	case newer && !corrupt:
		return vectortest.Newer
	}
	return "an error of no single kind"
}

func TestVectors(t *testing.T) {
	kinds, count := vectortest.Kinds(t), 0
	if len(kinds) != len(decoders) {
		t.Errorf("vectors of the kinds %q, decoders of %d", kinds, len(decoders))
	}
	for _, kind := range kinds {
		for _, v := range vectortest.Load(t, kind) {
			count++
			lines, err := decoders[kind](t, &v)
			got := kindOf(err)
			if got != v.Expect {
				t.Errorf("%s/%s (%s): %s (%v), want %s", kind, v.Name, v.Header["comment"], got, err, v.Expect)
			} else if err == nil && !slices.Equal(lines, v.Want) {
				t.Errorf("%s/%s: got\n%s\nwant\n%s", kind, v.Name, strings.Join(lines, "\n"), strings.Join(v.Want, "\n"))
			}
		}
	}
	if count < 300 {
		t.Errorf("only %d vectors", count)
	}
}

func TestFormatIsParsed(t *testing.T) {
	v := vectortest.Vector{Expect: vectortest.Newer, Header: map[string]string{"comment": "a: b", "key": "00"}, Want: []string{"x", "y"}, Data: bytes.Repeat([]byte{1, 2}, 100)}
	got, err := vectortest.Parse(v.Format([]string{"comment", "key"}))
	if err != nil || got.Expect != v.Expect || got.Header["comment"] != "a: b" || !slices.Equal(got.Want, v.Want) || !bytes.Equal(got.Data, v.Data) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, file := range map[string]string{
		"no body": "expect: ok\ncomment: x\n", "no comment": "expect: ok\n\n", "no expectation": "comment: x\n\n", "twice": "expect: ok\ncomment: x\ncomment: y\n\n",
		"no hex": "expect: ok\ncomment: x\n\nxy", "no colon": "expect: ok\ncomment x\n\n",
	} {
		if _, err := vectortest.Parse([]byte(file)); err == nil {
			t.Errorf("%s: parsed", name)
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

func keyOf(t *testing.T, v *vectortest.Vector) *seal.Key {
	t.Helper()
	secret := [32]byte(v.Bytes(t, "key"))
	return seal.NewKey(&secret, [16]byte(v.Bytes(t, "repository")), nil)
}

// sealed seals a plaintext as the engine gets to see it.
func sealed(t *testing.T, kind byte, plain []byte) (*seal.Key, []byte) {
	t.Helper()
	key := seal.NewKey(&[32]byte{1}, [16]byte{2}, nil)
	box, err := key.Seal(nil, kind, plain)
	if err != nil {
		t.Fatal(err)
	}
	return key, box
}

func segment(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	ids, kind := pack.IDKey(v.Bytes(t, "id-key")), pack.Kind(number(t, v, "chunk-kind"))
	key, box := sealed(t, byte(kind), v.Data)
	decoder := pack.NewDecoder(&ids, new(compress.Decompressor))
	var chunks [][]byte
	if v.Header["dictionary"] == "" {
		chunks, err = decoder.Open(key, kind, box)
	} else if with, bad := pack.NewDictionary([][]byte{v.Bytes(t, "dictionary")}); bad != nil {
		t.Fatal(bad)
	} else {
		chunks, err = decoder.OpenPrimed(key, box, with)
	}
	for _, c := range chunks {
		id, _ := ids.NewHasher().Sum(kind, c)
		lines = append(lines, fmt.Sprintf("chunk %d %s", len(c), id))
	}
	return lines, err
}

func rows(lines []string, d pack.Directory) []string {
	for i, s := range d {
		line := fmt.Sprintf("segment %d %d %d", s.Kind, s.Offset, s.Length)
		if s.Back > 0 {
			line += fmt.Sprintf(" dictionary %d", i-int(s.Back))
		}
		lines = append(lines, line)
		for _, c := range s.Chunks {
			lines = append(lines, fmt.Sprintf("chunk %s %d", c.ID, c.Length))
		}
	}
	return lines
}

func directory(t *testing.T, v *vectortest.Vector) ([]string, error) {
	key, box := sealed(t, seal.KindDirectory, v.Data)
	d, err := pack.OpenDirectory(key, box)
	return rows(nil, d), err
}

func wholePack(t *testing.T, v *vectortest.Vector) ([]string, error) {
	class, d, err := pack.ReadDirectoryFrom(bytes.NewReader(v.Data), int64(len(v.Data)), keyOf(t, v), [16]byte(v.Bytes(t, "repository")))
	return rows([]string{fmt.Sprintf("pack %s class %d size %d", pack.SumID(v.Data), class, len(v.Data))}, d), err
}

func indexFile(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	f, err := index.Decode(v.Data)
	for _, id := range f.Supersedes {
		lines = append(lines, "supersedes "+id.String())
	}
	for _, p := range f.Packs {
		lines = rows(append(lines, fmt.Sprintf("pack %s class %d size %d", p.ID, p.Class, p.Size)), p.Directory)
	}
	if err == nil && !bytes.Equal(index.Encode(f), v.Data) {
		t.Errorf("%s: encodes to other bytes", v.Name)
	}
	return lines, err
}

func leaf(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	l, err := tree.ParseLeaf(v.Data)
	if err != nil {
		return nil, err
	}
	entries, err := l.Entries()
	if err != nil {
		return nil, err
	}
	for i, r := range l.Runs {
		lines = append(lines, fmt.Sprintf("run %q flags=%d digest=%x", r.Path, r.Flags, r.Digest))
		for k := range entries[i] {
			lines = append(lines, entry(&entries[i][k]))
		}
	}
	return lines, err
}

func entry(x *tree.Entry) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	put("entry %q kind=%d mode=%04o owner=%d:%d %q:%q mtime=%d.%09d ctime=%d.%09d inode=%d size=%d", x.Name, x.Kind, x.Mode, x.UID, x.GID,
		x.User, x.Group, x.ModTime.Sec, x.ModTime.Nsec, x.ChangeTime.Sec, x.ChangeTime.Nsec, x.Inode, x.Size)
	if x.Target != "" {
		put(" target=%q", x.Target)
	}
	if x.Rdev != 0 {
		put(" rdev=%d", x.Rdev)
	}
	if x.Links > 1 {
		put(" links=%d:%d", x.Device, x.Links)
	}
	for _, a := range x.Xattrs {
		put(" xattr=%q:%q", a.Name, a.Value)
	}
	if x.Flags != 0 {
		put(" flags=%d", x.Flags)
	}
	if x.Marks != 0 {
		put(" marks=%d", x.Marks)
	}
	if x.Problem != "" {
		put(" problem=%q", x.Problem)
	}
	if x.Access != nil {
		put(" atime=%d.%09d", x.Access.Sec, x.Access.Nsec)
	}
	return b.String()
}

func parts(lines []string, list []tree.Part) []string {
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("part %s %d", p.ID, p.Length))
	}
	return lines
}

func refs(t *testing.T, v *vectortest.Vector) (lines []string, err error) {
	l, err := tree.ParseLeaf(v.Bytes(t, "leaf"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := l.Entries()
	if err != nil {
		t.Fatal(err)
	}
	r, err := tree.ParseRefs(v.Data)
	if err == nil {
		err = tree.AttachRefs(entries, r)
	}
	for _, x := range entries[0] {
		lines = parts(append(lines, fmt.Sprintf("file %q %d listed=%v", x.Name, x.Size, x.Listed)), x.Parts)
	}
	return lines, err
}

func inner(t *testing.T, v *vectortest.Vector) ([]string, error) {
	in, err := tree.ParseInner(v.Data)
	if err != nil {
		return nil, err
	}
	lines := []string{fmt.Sprintf("level %d", in.Level)}
	for _, c := range in.Children {
		lines = append(lines, fmt.Sprintf("child %q %q page=%s refs=%s runs=%d entries=%d files=%d size=%d", c.Path, c.Name, c.Page, c.Refs, c.Runs, c.Entries, c.Files, c.Size))
	}
	return lines, err
}

func snapshotRecord(t *testing.T, v *vectortest.Vector) ([]string, error) {
	s, err := snapshot.Decode(pack.ID{}, v.Data)
	if err != nil {
		return nil, err
	}
	return []string{"root " + s.Root, "source " + s.Source.String(), fmt.Sprintf("source_name %q", s.SourceName),
		"time " + s.Time.UTC().Format(time.RFC3339Nano), fmt.Sprintf("sequence %d", s.Sequence), fmt.Sprintf("tags %q", s.Tags)}, nil
}

func label(t *testing.T, v *vectortest.Vector) ([]string, error) {
	l, err := snapshot.DecodeLabel(pack.ID{}, v.Data)
	if err != nil {
		return nil, err
	}
	return []string{"snapshot " + l.Snapshot, fmt.Sprintf("counter %d", l.Counter), fmt.Sprintf("tags %q", l.Tags), fmt.Sprintf("pin %v", l.Pin), fmt.Sprintf("note %q", l.Note)}, nil
}

func slot(t *testing.T, v *vectortest.Vector) ([]string, error) {
	c, err := keyring.ParseConfig(v.Bytes(t, "config"))
	if err != nil {
		t.Fatal(err)
	}
	file := keyring.File{Name: keyring.SlotPrefix + v.Header["name"], Data: v.Data}
	s, err := keyring.ParseSlot(file)
	if err != nil {
		return nil, err
	}
	credential, err := keyring.Passphrase(v.Header["passphrase"])
	if s.Type == keyring.TypeAge {
		credential, err = keyring.AgeIdentities([]byte(strings.ReplaceAll(v.Header["identity"], " ", "\n")), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	o, err := keyring.Open(t.Context(), c, []keyring.File{file}, credential)
	if err != nil {
		return nil, err
	}
	return []string{"role " + string(o.Secrets.Role()), fmt.Sprintf("label %q", o.Slot.Label), fmt.Sprintf("id-key %x", o.Secrets.IDKey()),
		"metadata-key " + o.Secrets.Metadata(c.ID).ID().String()}, nil
}

// contentKey opens a content key by way of a slot that holds the same content identity.
func contentKey(t *testing.T, v *vectortest.Vector) ([]string, error) {
	for _, s := range vectortest.Load(t, "slot") {
		if s.Name != "ok-x25519" {
			continue
		}
		c, err := keyring.ParseConfig(s.Bytes(t, "config"))
		if err != nil {
			t.Fatal(err)
		}
		credential, err := keyring.AgeIdentities([]byte(strings.ReplaceAll(s.Header["identity"], " ", "\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := keyring.Open(t.Context(), c, []keyring.File{{Name: keyring.SlotPrefix + s.Header["name"], Data: s.Data}}, credential)
		if err != nil {
			t.Fatal(err)
		}
		k, err := o.Secrets.UnwrapContentKey(seal.KeyID(v.Bytes(t, "name")), v.Data)
		if err != nil {
			return nil, err
		}
		return []string{"id " + k.ID().String()}, nil
	}
	t.Fatal("no slot to open content keys with")
	return nil, nil
}
