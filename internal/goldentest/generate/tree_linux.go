package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// build makes the tree of day 0, or changes that of the day before.
func build(tree string, day int) error {
	t := &builder{tree: tree}
	if day == 0 {
		t.first()
	}
	t.write("changing", text(uint64(day), 3000))
	t.write(fmt.Sprintf("new/on day %d", day), text(uint64(100+day), 500))
	t.write("changing.sqlite", append([]byte("SQLite format 3\x00"), text(uint64(200+day), 2000)...))
	t.write("shop.sql", dump(day))
	if day == 2 {
		t.note(os.Remove(tree + "/removed"))
		t.note(os.Rename(tree+"/sub", tree+"/renamed"))
	}
	return errors.Join(t.errs...)
}

type builder struct {
	tree string
	errs []error
}

func (t *builder) note(err error) {
	if err != nil {
		t.errs = append(t.errs, err)
	}
}

func (t *builder) write(name string, data []byte) {
	path := t.tree + "/" + name
	t.note(os.MkdirAll(path[:strings.LastIndexByte(path, '/')], 0o755))
	t.note(os.WriteFile(path, data, 0o644))
}

// text returns words, which can be compressed.
func text(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", random.IntN(1000))
	}
	return b.Bytes()[:n]
}

// dump returns the dump of a database, whose pieces have dictionaries. A few rows change each day.
func dump(day int) []byte {
	random := rand.New(rand.NewPCG(300, 1))
	var b bytes.Buffer
	for row := range 20_000 {
		at := 0
		if row%1000 < 5 {
			at = day
		}
		fmt.Fprintf(&b, "INSERT INTO orders VALUES (%d, 'customer %04x', 'paid', '2026-11-%02d');\n", row, random.IntN(1<<16), 1+at)
	}
	return b.Bytes()
}

func (t *builder) first() {
	p := func(name string) string { return t.tree + "/" + name }
	t.write("empty", nil)
	t.write("removed", []byte("until day 2"))
	t.write("sub/deep/file", text(1, 10_000))
	t.write("names/\xff\xfe no text", []byte("1"))
	t.write("names/new\nline \x1b[31m", []byte("2"))
	t.write("names/"+strings.Repeat("n", 200), []byte("3"))
	t.write("noise", noise(20_000))
	for i := range 120 {
		t.write(fmt.Sprintf("many/%d.txt", i), fmt.Append(nil, i))
	}
	t.note(os.MkdirAll(p("empty folder"), 0o755))
	t.note(os.Symlink("../\xff/nowhere", p("symlink")))
	t.write("linked", []byte("two names"))
	t.note(os.Link(p("linked"), p("sub/linked too")))
	t.note(unix.Mkfifo(p("fifo"), 0o600))
	t.note(unix.Mknod(p("socket"), unix.S_IFSOCK|0o600, 0))
	t.note(unix.Mknod(p("chardev"), unix.S_IFCHR|0o620, int(unix.Mkdev(4095, 1048575))))
	t.note(unix.Mknod(p("blockdev"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 300))))
	t.sparse(p("sparse"))
	t.write("owned", []byte("x"))
	t.note(os.Chown(p("owned"), 12345, 1<<32-2))
	t.note(os.Chmod(p("owned"), 0o4750|os.ModeSetuid))
	t.write("attributes", []byte("x"))
	t.note(unix.Setxattr(p("attributes"), "user.bytes", []byte("\x00\xff"), 0))
	t.note(unix.Setxattr(p("attributes"), "user.empty", nil, 0))
	t.note(unix.Setxattr(p("attributes"), "trusted.t", []byte("trusted"), 0))
	t.write("times/early", []byte("x"))
	t.write("times/late", []byte("x"))
	t.note(os.Chtimes(p("times/early"), time.Time{}, time.Unix(-1, 999_999_999)))
	t.note(os.Chtimes(p("times/late"), time.Time{}, time.Unix(1<<33, 1)))
	t.note(os.Chmod(p("times"), 0o1755|os.ModeSticky))
}

// sparse makes a file of so many runs of data, and holes between, that its parts are listed.
func (t *builder) sparse(path string) {
	f, err := os.Create(path)
	if err != nil {
		t.note(err)
		return
	}
	const block = 16 << 10
	for i := range int64(600) {
		_, err := f.WriteAt([]byte("data"), i*2*block)
		t.note(err)
	}
	t.note(f.Truncate(600 * 2 * block))
	t.note(f.Close())
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}
