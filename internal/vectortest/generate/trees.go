package main

import (
	"bytes"
	"fmt"
)

// column returns a column of a leaf page.
func column(tag int, parts ...any) []byte { return cat(tag, text(cat(parts...))) }

var digest = fill(0xd0, 16)

// leafRuns are the runs of the sample page: the top with three entries, and a folder with one.
var leafRuns = cat(2,
	0, text(""), []byte{0}, digest, 3, 1, 5,
	0, text("dir"), []byte{2}, make([]byte, 16), 1, 1, 300)

// leafColumns are the columns of the sample page, by tag.
func leafColumns() map[int][]byte {
	return map[int][]byte{
		1: column(1, []byte{2, 1, 3, 1}),
		2: column(2, 0, text("dir"), 0, text("f"), 1, text("l"), 0, text("a\xff")),
		3: column(3, 2, 0o755, 0, 0, text("root"), text("root"), 0o4644, 1000, 1<<32-1, text(""), text("users"), 0, 1, 1, 1),
		4: column(4, signed(1_700_000_000), 0, signed(-1_700_000_001), 999_999_999, signed(6), 1, signed(0), 2),
		5: column(5, signed(0), 0, signed(10), 1, signed(-3), 2, signed(1<<40), 3),
		6: column(6, signed(10), signed(-11), signed(3), signed(5)),
		7: column(7, 5, 300),
		8: column(8, 5,
			1, 3, text(cat(65024, 2)),
			0, 4, text(cat(2, text("user.a"), text("\x00\xff"), text("user.b"), text(""))),
			1, 1, text("../target"),
			1, 6, text(cat(5)),
			0, 8, text(cat(signed(-7), 8))),
	}
}

var leafWant = []string{
	`run "" flags=0 digest=d0d1d2d3d4d5d6d7d8d9dadbdcdddedf`,
	`entry "dir" kind=2 mode=0755 owner=0:0 "root":"root" mtime=1700000000.000000000 ctime=1700000000.000000000 inode=10 size=0`,
	`entry "f" kind=1 mode=4644 owner=1000:4294967295 "":"users" mtime=-1.999999999 ctime=9.000000001 inode=18446744073709551615 size=5 links=65024:2 xattr="user.a":"\x00\xff" xattr="user.b":""`,
	`entry "fl" kind=3 mode=4644 owner=1000:4294967295 "":"users" mtime=5.000000001 ctime=2.000000002 inode=2 size=0 target="../target"`,
	`run "dir" flags=2 digest=00000000000000000000000000000000`,
	`entry "a\xff" kind=1 mode=4644 owner=1000:4294967295 "":"users" mtime=5.000000002 ctime=1099511627781.000000003 inode=7 size=300 marks=5 atime=-7.000000008`,
}

// leaf joins runs and columns, of which some are replaced; nil leaves one out.
func leaf(runs []byte, change map[int][]byte, extra ...[]byte) []byte {
	cols := leafColumns()
	for tag, col := range change {
		cols[tag] = col
	}
	var all [][]byte
	for tag := 1; tag <= 8; tag++ {
		if cols[tag] != nil {
			all = append(all, cols[tag])
		}
	}
	all = append(all, extra...)
	return cat(1, 1, runs, len(all), bytes.Join(all, nil))
}

// one returns the runs of a page with one run of so many entries.
func one(path string, flags byte, entries, files, size int) []byte {
	return cat(1, 0, text(path), []byte{flags}, digest, entries, files, size)
}

func leaves(m *maker) {
	good := leaf(leafRuns, nil)
	m.add("leaf", "ok", "ok", "two runs with a folder, files and a link, most rare fields", nil, good, leafWant...)
	m.add("leaf", "ok-empty", "ok", "the top of an empty tree", nil, cat(1, 1, one("", 0, 0, 0, 0), 0), `run "" flags=0 digest=`+hexOf(digest))
	m.add("leaf", "ok-unknown-column", "ok", "an unknown column of tag 64 is ignored", nil, leaf(leafRuns, nil, column(64, "future")), leafWant...)
	m.add("leaf", "ok-unknown-column-empty", "ok", "an unknown column on a page without entries", nil, cat(1, 1, one("", 4, 0, 0, 0), 1, column(300, "x")),
		`run "" flags=4 digest=`+hexOf(digest))
	rare := func(parts ...any) map[int][]byte { return map[int][]byte{8: column(8, parts...)} }
	m.add("leaf", "ok-unknown-field", "ok", "an unknown rare field of number 64 is ignored", nil,
		leaf(leafRuns, rare(2, 2, 1, text("../target"), 0, 64, text("future"))), plainWant()...)
	m.add("leaf", "ok-no-sharing", "ok", "names that share less than they could", nil,
		leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 0, text("fl"), 0, text("a\xff"))}), leafWant...)
	nodes := cat(1, 1, one("", 0, 3, 0, 0), 8, column(1, []byte{4, 6, 7}), column(2, 0, text("a"), 0, text("b"), 0, text("c")), column(3, 1, 0o600, 1, 2, text(""), text(""), 0, 0, 0),
		column(4, signed(0), 0, signed(0), 0, signed(0), 0), column(5, signed(0), 0, signed(0), 0, signed(0), 0), column(6, signed(1), signed(1), signed(1)), column(7),
		column(8, 3, 1, 2, text(cat(259)), 0, 5, text(cat(16)), 1, 7, text("why")))
	m.add("leaf", "ok-nodes", "ok", "a FIFO and two device nodes, inode flags, a problem", nil, nodes, `run "" flags=0 digest=`+hexOf(digest),
		`entry "a" kind=4 mode=0600 owner=1:2 "":"" mtime=0.000000000 ctime=0.000000000 inode=1 size=0`,
		`entry "b" kind=6 mode=0600 owner=1:2 "":"" mtime=0.000000000 ctime=0.000000000 inode=2 size=0 rdev=259 flags=16`,
		`entry "c" kind=7 mode=0600 owner=1:2 "":"" mtime=0.000000000 ctime=0.000000000 inode=3 size=0 problem="why"`)
	m.bad("leaf", nil,
		bad{"version-2", "newer", "a later version", replace(good, cat(1, 1, leafRuns), cat(2, 1, leafRuns))},
		bad{"version-0", "corrupt", "there is no version 0", replace(good, cat(1, 1, leafRuns), cat(0, 1, leafRuns))},
		bad{"other-type", "corrupt", "an inner page's type", replace(good, cat(1, 1, leafRuns), cat(1, 2, leafRuns))},
		bad{"unknown-column", "newer", "an unknown column of tag 9", leaf(leafRuns, nil, column(9, "future"))},
		bad{"unknown-field", "newer", "an unknown rare field of number 9", leaf(leafRuns, rare(2, 2, 1, text("t"), 0, 9, text("")))},
		bad{"column-0", "corrupt", "tags begin at 1", cat(1, 1, one("", 0, 0, 0, 0), 1, column(0))},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut(good, -1)},
		bad{"longer", "corrupt", "a byte behind the columns", cat(good, 0)},
		bad{"no-run", "corrupt", "a page has one run at least", cat(1, 1, 0, 0)},
		bad{"runs-over-page", "corrupt", "more runs than the page has bytes", cat(1, 1, 1<<40, 0)},
		bad{"entries-over-limit", "corrupt", "65,537 entries", cat(1, 1, one("", 0, 65_537, 0, 0), 0)},
		bad{"entries-together-over-limit", "corrupt", "65,537 entries in two runs", cat(1, 1, 2, 0, text(""), []byte{0}, digest, 65_536, 0, 0, 0, text("a"), []byte{0}, digest, 1, 0, 0, 0)},
		bad{"columns-missing", "corrupt", "entries without columns", cat(1, 1, one("", 0, 1, 1, 5), 0)},
		bad{"size-missing", "corrupt", "the column of sizes is missing", leaf(leafRuns, map[int][]byte{7: nil})},
		bad{"owner-missing", "corrupt", "the column of owners is missing, and no other", leaf(leafRuns, map[int][]byte{3: nil})},
		bad{"columns-without-entries", "corrupt", "columns on a page without entries", cat(1, 1, one("", 0, 0, 0, 0), 1, column(1))},
		bad{"columns-out-of-order", "corrupt", "tags do not rise", leaf(leafRuns, map[int][]byte{4: leafColumns()[5], 5: leafColumns()[4]})},
		bad{"column-twice", "corrupt", "the same tag twice", leaf(leafRuns, nil, leafColumns()[8])},
		bad{"column-longer", "corrupt", "a byte behind the last size", leaf(leafRuns, map[int][]byte{7: column(7, 5, 300, 0)})},
		bad{"kind-0", "corrupt", "no such kind", leaf(leafRuns, map[int][]byte{1: column(1, []byte{2, 1, 3, 0})})},
		bad{"kind-8", "corrupt", "no such kind", leaf(leafRuns, map[int][]byte{1: column(1, []byte{8, 1, 3, 1})})},
		bad{"files-differ", "corrupt", "a run that counts more files than it has", leaf(replace(leafRuns, cat(digest, 3, 1, 5), cat(digest, 3, 2, 5)), nil)},
		bad{"size-differs", "corrupt", "a run whose files have other sizes", leaf(replace(leafRuns, cat(1, 1, 300), cat(1, 1, 301)), nil)},
		bad{"size-over-63-bits", "corrupt", "a size of 2^63", leaf(leafRuns, map[int][]byte{7: column(7, uint64(1)<<63, 300)})},
		bad{"names-out-of-order", "corrupt", "b behind f", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 0, text("b"), 0, text("a"))})},
		bad{"name-twice", "corrupt", "f twice", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 1, text(""), 0, text("a"))})},
		bad{"name-empty", "corrupt", "a name of no bytes", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 1, text("l"), 0, text(""))})},
		bad{"name-dots", "corrupt", "the name ..", leaf(leafRuns, map[int][]byte{2: column(2, 0, text(".."), 0, text("f"), 1, text("l"), 0, text("a"))})},
		bad{"name-with-slash", "corrupt", "a slash in a name", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("d/r"), 0, text("f"), 1, text("l"), 0, text("a"))})},
		bad{"name-with-nul", "corrupt", "a NUL in a name", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("d\x00"), 0, text("f"), 1, text("l"), 0, text("a"))})},
		bad{"name-over-limit", "corrupt", "a name of 4,097 bytes", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 1, text("l"), 0, text(bytes.Repeat([]byte("n"), 4097)))})},
		bad{"shared-in-first", "corrupt", "the first name of a run shares with none", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 1, text("l"), 1, text("a"))})},
		bad{"shared-over-name", "corrupt", "shares more than the name before has", leaf(leafRuns, map[int][]byte{2: column(2, 0, text("dir"), 0, text("f"), 2, text("l"), 0, text("a"))})},
		bad{"mode-over-limit", "corrupt", "a mode above 07777", leaf(leafRuns, map[int][]byte{3: column(3, 1, 0o10000, 0, 0, text(""), text(""), 0, 0, 0, 0)})},
		bad{"uid-over-32-bits", "corrupt", "a uid of 2^32", leaf(leafRuns, map[int][]byte{3: column(3, 1, 0o644, 1<<32, 0, text(""), text(""), 0, 0, 0, 0)})},
		bad{"owner-row-missing", "corrupt", "a row that the table of owners does not have", leaf(leafRuns, map[int][]byte{3: column(3, 1, 0o644, 0, 0, text(""), text(""), 0, 0, 0, 1)})},
		bad{"nanoseconds-over-limit", "corrupt", "10^9 nanoseconds", leaf(leafRuns, map[int][]byte{4: column(4, signed(0), 1_000_000_000, signed(0), 0, signed(0), 0, signed(0), 0)})},
		bad{"link-without-target", "corrupt", "a symbolic link has a target", leaf(leafRuns, rare(0))},
		bad{"target-of-a-file", "corrupt", "only symbolic links have a target", leaf(leafRuns, rare(2, 1, 1, text("x"), 1, 1, text("x")))},
		bad{"target-with-nul", "corrupt", "a NUL in a target", leaf(leafRuns, rare(1, 2, 1, text("a\x00")))},
		bad{"fields-out-of-order", "corrupt", "field 1 behind field 6 of the same entry", leaf(leafRuns, rare(2, 2, 6, text(cat(1)), 0, 1, text("x")))},
		bad{"field-of-no-entry", "corrupt", "a field of entry 4 of 4", leaf(leafRuns, rare(2, 2, 1, text("x"), 2, 6, text(cat(1))))},
		bad{"field-longer", "corrupt", "a byte behind a field's value", leaf(leafRuns, rare(1, 2, 1, text("x"), 1, 6, text(cat(1, 0))))},
		bad{"one-link", "corrupt", "a hard-link group has two links at least", leaf(leafRuns, rare(2, 1, 3, text(cat(5, 1)), 1, 1, text("x")))},
		bad{"attributes-out-of-order", "corrupt", "attribute b before a", leaf(leafRuns, rare(2, 1, 4, text(cat(2, text("b"), text(""), text("a"), text(""))), 1, 1, text("x")))},
		bad{"attribute-without-name", "corrupt", "a name of no bytes", leaf(leafRuns, rare(2, 1, 4, text(cat(1, text(""), text(""))), 1, 1, text("x")))},
		bad{"flags-over-7", "corrupt", "an unknown flag of a run", cat(1, 1, one("", 8, 0, 0, 0), 0)},
		bad{"goes-on-within-page", "corrupt", "a run that goes on in a later page, and another behind it", cat(1, 1, 2, 0, text("a"), []byte{2}, digest, 0, 0, 0, 0, text("b"), []byte{0}, digest, 0, 0, 0, 0)},
		bad{"continued-within-page", "corrupt", "a run that began in an earlier page, and another in front of it", cat(1, 1, 2, 0, text("a"), []byte{0}, digest, 0, 0, 0, 0, text("b"), []byte{1}, digest, 0, 0, 0, 0)},
		bad{"target-of-no-bytes", "corrupt", "a target of no bytes of a file", leaf(leafRuns, rare(2, 1, 1, text(""), 1, 1, text("x")))},
		bad{"problem-no-utf-8", "corrupt", "why it could not be read is text", leaf(leafRuns, rare(2, 2, 1, text("x"), 0, 7, text("\xff")))},
		bad{"path-with-slash-in-front", "corrupt", "a path begins with no slash", cat(1, 1, one("/a", 0, 0, 0, 0), 0)},
		bad{"path-dots", "corrupt", "a path with the component ..", cat(1, 1, one("a/../b", 0, 0, 0, 0), 0)},
		bad{"runs-out-of-order", "corrupt", "a.b before a/b: components decide, not bytes", cat(1, 1, 2, 0, text("a.b"), []byte{0}, digest, 0, 0, 0, 1, text("/b"), []byte{0}, digest, 0, 0, 0, 0)},
		bad{"run-twice", "corrupt", "the same path twice", cat(1, 1, 2, 0, text("a"), []byte{0}, digest, 0, 0, 0, 1, text(""), []byte{0}, digest, 0, 0, 0, 0)},
		bad{"not-shortest", "corrupt", "run count in a longer form", cat(1, 1, unhex("8100"), 0, text(""), []byte{0}, digest, 0, 0, 0, 0)},
	)
}

// plainWant is what the sample page holds without most rare fields.
func plainWant() []string {
	w := append([]string(nil), leafWant...)
	w[2] = `entry "f" kind=1 mode=4644 owner=1000:4294967295 "":"users" mtime=-1.999999999 ctime=9.000000001 inode=18446744073709551615 size=5`
	w[5] = `entry "a\xff" kind=1 mode=4644 owner=1000:4294967295 "":"users" mtime=5.000000002 ctime=1099511627781.000000003 inode=7 size=300`
	return w
}

// files returns a leaf page of one run with regular files a, b, c, … of these sizes; negative ones could not be read.
func files(sizes ...int) []byte {
	total, n := 0, len(sizes)
	var kinds, names, owners, times, inodes, size, marks []byte
	for i, s := range sizes {
		kinds, names = append(kinds, 1), cat(names, 0, text(string(rune('a'+i))))
		owners, times, inodes = cat(owners, 0), cat(times, signed(0), 0), cat(inodes, signed(1))
		if s < 0 {
			s = -s
			marks = cat(marks, i, 6, text(cat(2))) // one such file at most
		}
		size, total = cat(size, s), total+s
	}
	cols := [][]byte{column(1, kinds), column(2, names), column(3, cat(1, 0o644, 0, 0, text(""), text("")), owners), column(4, times), column(5, times), column(6, inodes), column(7, size)}
	if marks != nil {
		cols = append(cols, column(8, 1, marks))
	}
	return cat(1, 1, one("", 0, n, n, total), len(cols), bytes.Join(cols, nil))
}

func references(m *maker) {
	a, b, hole := fill(1, 16), fill(2, 16), make([]byte, 16)
	with := func(sizes ...int) header { return header{"leaf": hexOf(files(sizes...))} }
	m.add("refs", "ok", "ok", "one chunk, two chunks, no content", with(10, 30, 0), cat(1, 3, 3, 2, 4, 0, a, a, b, 13, 17),
		`file "a" 10 listed=false`, "part "+hexOf(a)+" 10", `file "b" 30 listed=false`, "part "+hexOf(a)+" 13", "part "+hexOf(b)+" 17", `file "c" 0 listed=false`)
	m.add("refs", "ok-holes", "ok", "a file that is one hole, and one with a hole between chunks", with(1<<40, 100), cat(1, 3, 2, 2, 6, hole, a, hole, b, 1<<40, 10, 80, 10),
		`file "a" 1099511627776 listed=false`, "part "+hexOf(hole)+" 1099511627776", `file "b" 100 listed=false`, "part "+hexOf(a)+" 10", "part "+hexOf(hole)+" 80", "part "+hexOf(b)+" 10")
	m.add("refs", "ok-listed", "ok", "a listed file with one list page", with(1<<30), cat(1, 3, 1, 3, a, 1<<30), `file "a" 1073741824 listed=true`, "part "+hexOf(a)+" 1073741824")
	m.add("refs", "ok-unreadable", "ok", "a file that could not be read has a size and no content", with(5, -7), cat(1, 3, 2, 2, 0, a),
		`file "a" 5 listed=false`, "part "+hexOf(a)+" 5", `file "b" 7 listed=false`)
	m.bad("refs", with(10),
		bad{"version-2", "newer", "a later version", cat(2, 3, 1, 2, a)},
		bad{"other-type", "corrupt", "a list page's type", cat(1, 4, 1, 2, a)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut(cat(1, 3, 1, 2, a), -1)},
		bad{"longer", "corrupt", "a byte behind the end", cat(1, 3, 1, 2, a, 0)},
		bad{"files-over-page", "corrupt", "more files than the page has bytes", cat(1, 3, 1<<40)},
		bad{"parts-over-page", "corrupt", "more parts than the page has bytes for", cat(1, 3, 1, 1<<41, a)},
		bad{"file-missing", "corrupt", "fewer files than the leaf page has", cat(1, 3, 0)},
		bad{"file-too-many", "corrupt", "more files than the leaf page has", cat(1, 3, 2, 2, 2, a, b)},
		bad{"content-missing", "corrupt", "a file of 10 bytes without content", cat(1, 3, 1, 0)},
		bad{"sum-differs", "corrupt", "parts of 11 bytes together", cat(1, 3, 1, 4, a, b, 5, 6)},
		bad{"hole-differs", "corrupt", "a hole of another length than the file", cat(1, 3, 1, 2, hole, 9)},
		bad{"part-of-no-bytes", "corrupt", "a part has one byte at least", cat(1, 3, 1, 4, a, b, 0, 10)},
		bad{"listed-hole", "corrupt", "the parts of a listed file are list pages", cat(1, 3, 1, 3, hole, 10)},
		bad{"listed-without-parts", "corrupt", "a listed file has parts", cat(1, 3, 1, 1)},
		bad{"not-shortest", "corrupt", "count in a longer form", cat(1, 3, unhex("8100"), 2, a)},
	)
	m.add("refs", "chunk-over-limit", "corrupt", "one chunk of more than 16 MiB", with(16<<20+1), cat(1, 3, 1, 2, a))
	m.add("refs", "part-over-limit", "corrupt", "one of two chunks has more than 16 MiB", with(16<<20+2), cat(1, 3, 1, 4, a, b, 16<<20+1, 1))
	m.add("refs", "chunk-of-an-empty-file", "corrupt", "a chunk of an empty file", with(0), cat(1, 3, 1, 2, a))
}

func lists(m *maker) {
	a, b, hole := fill(1, 16), fill(2, 16), make([]byte, 16)
	h := header{"length": "100"}
	good := cat(1, 4, 3, a, hole, b, 10, 60, 30)
	m.add("list", "ok", "ok", "two chunks and a hole", h, good, "part "+hexOf(a)+" 10", "part "+hexOf(hole)+" 60", "part "+hexOf(b)+" 30")
	m.bad("list", h,
		bad{"version-2", "newer", "a later version", cat(2, 4, 1, a, 100)},
		bad{"other-type", "corrupt", "a reference page's type", cat(1, 3, 1, a, 100)},
		bad{"cut", "corrupt", "the last byte is missing", cut(good, -1)},
		bad{"longer", "corrupt", "a byte behind the end", cat(good, 0)},
		bad{"no-part", "corrupt", "a list page has one part at least", cat(1, 4, 0)},
		bad{"65537-parts", "corrupt", "one more than the limit", cat(1, 4, 65_537, a)},
		bad{"parts-over-page", "corrupt", "more parts than the page has bytes for", cat(1, 4, 1000, a, 100)},
		bad{"sum-differs", "corrupt", "parts of 101 bytes together", cat(1, 4, 2, a, b, 50, 51)},
		bad{"part-of-no-bytes", "corrupt", "a part has one byte at least", cat(1, 4, 2, a, b, 0, 100)},
		bad{"sum-overflows", "corrupt", "holes of 2^64 and 100 bytes together", cat(1, 4, 3, hole, hole, hole, uint64(1)<<63-1, uint64(1)<<63-1, 102)},
	)
	m.add("list", "chunk-over-limit", "corrupt", "a chunk of 16 MiB and a byte", header{"length": fmt.Sprint(16<<20 + 1)}, cat(1, 4, 1, a, 16<<20+1))
}

func inners(m *maker) {
	a, b, c, zero := fill(1, 16), fill(2, 16), fill(3, 16), make([]byte, 16)
	low := cat(1, 2, 1, 2, 0, text("dir"), text(""), a, b, 2, 3, 1, 500, 3, text("/sub"), text("name\xff"), c, zero, 1, 4, 0, 0)
	m.add("inner", "ok", "ok", "level 1 with two leaf pages, the second begins within a folder", nil, low, "level 1",
		`child "dir" "" page=`+hexOf(a)+" refs="+hexOf(b)+" runs=2 entries=3 files=1 size=500",
		`child "dir/sub" "name\xff" page=`+hexOf(c)+" refs="+hexOf(zero)+" runs=1 entries=4 files=0 size=0")
	m.add("inner", "ok-level-2", "ok", "level 2 has no reference pages", nil, cat(1, 2, 2, 1, 0, text(""), text(""), a, 3, 7, 1, 500), "level 2",
		`child "" "" page=`+hexOf(a)+" refs="+hexOf(zero)+" runs=3 entries=7 files=1 size=500")
	child := func(parts ...any) []byte { return cat(append([]any{1, 2, 2, 1}, parts...)...) }
	two := func(parts ...any) []byte { return cat(append([]any{1, 2, 2, 2}, parts...)...) }
	m.bad("inner", nil,
		bad{"version-2", "newer", "a later version", cat(2, 2, 2, 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"version-0", "corrupt", "there is no version 0", cat(0, 2, 2, 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"other-type", "corrupt", "a leaf page's type", cat(1, 1, 2, 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"level-0", "corrupt", "levels begin at 1", cat(1, 2, 0, 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"level-17", "corrupt", "one more than the limit", cat(1, 2, 17, 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"no-child", "corrupt", "an inner page has one child at least", cat(1, 2, 2, 0)},
		bad{"65537-children", "corrupt", "one more than the limit", cat(1, 2, 2, 65_537, 0, text(""))},
		bad{"cut", "corrupt", "the last byte is missing", cut(low, -1)},
		bad{"longer", "corrupt", "a byte behind the end", cat(low, 0)},
		bad{"zero-page", "corrupt", "sixteen zero bytes are no page's id", child(0, text(""), text(""), zero, 1, 0, 0, 0)},
		bad{"refs-without-files", "corrupt", "a reference page beside a page without regular files", cat(1, 2, 1, 1, 0, text(""), text(""), a, b, 1, 3, 0, 0)},
		bad{"files-without-refs", "corrupt", "regular files and no reference page", cat(1, 2, 1, 1, 0, text(""), text(""), a, zero, 1, 3, 1, 5)},
		bad{"shared-over-path", "corrupt", "shares more than the path before has", child(1, text(""), text(""), a, 1, 0, 0, 0)},
		bad{"out-of-order", "corrupt", "b before a", two(0, text("b"), text(""), a, 1, 0, 0, 0, 0, text("a"), text(""), b, 1, 0, 0, 0)},
		bad{"equal", "corrupt", "two children that begin at the same place", two(0, text("a"), text("n"), a, 1, 1, 0, 0, 1, text(""), text("n"), b, 1, 1, 0, 0)},
		bad{"path-empty-component", "corrupt", "a path with an empty component", child(0, text("a//b"), text(""), a, 1, 0, 0, 0)},
		bad{"name-dot", "corrupt", "the name .", child(0, text("a"), text("."), a, 1, 0, 0, 0)},
		bad{"size-over-63-bits", "corrupt", "a size of 2^63", child(0, text(""), text(""), a, 1, 0, 0, uint64(1)<<63)},
		bad{"not-shortest", "corrupt", "level in a longer form", cat(1, 2, unhex("8200"), 1, 0, text(""), text(""), a, 1, 0, 0, 0)},
	)
}
