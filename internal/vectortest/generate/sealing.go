package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func varints(m *maker) {
	for _, v := range []uint64{0, 127, 128, 16384, 1<<63 - 1, 1<<64 - 1} {
		m.add("varint", fmt.Sprintf("ok-%d", v), "ok", fmt.Sprintf("the number %d", v), nil, cat(v), fmt.Sprintf("value %d", v))
	}
	m.bad("varint", nil,
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte says that another follows", unhex("80")},
		bad{"not-shortest", "corrupt", "128 in three bytes", unhex("808100")},
		bad{"zero-in-two", "corrupt", "0 in two bytes", unhex("8000")},
		bad{"over-64-bits", "corrupt", "2^64", unhex("80808080808080808002")},
		bad{"eleven-bytes", "corrupt", "ten bytes are the most", unhex("8080808080808080808001")},
		bad{"byte-behind", "corrupt", "a byte behind the number", unhex("0100")},
	)
}

func boxes(m *maker) {
	h := header{"repository": hexOf(repository), "key": hexOf(metaSecret), "box-kind": "6"}
	with := func(key, value string) header {
		c := header{}
		for k, v := range h {
			c[k] = v
		}
		c[key] = value
		return c
	}
	plain := []byte("what is sealed")
	box := seal(metaSecret, 6, plain)
	m.add("box", "ok", "ok", "a box of kind 6", h, box, "plain "+hexOf(plain))
	m.add("box", "ok-empty", "ok", "a box of no bytes", h, seal(metaSecret, 6, nil), "plain ")
	m.bad("box", h,
		bad{"cut", "corrupt", "the last byte is missing", cut(box, -1)},
		bad{"cut-tag", "corrupt", "47 bytes, shorter than any box", cut(box, 47)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"longer", "corrupt", "a byte behind the tag", cat(box, []byte{0})},
		bad{"flipped-key-id", "corrupt", "a bit of the key id", flip(box, 0)},
		bad{"flipped-nonce", "corrupt", "a bit of the nonce", flip(box, 8)},
		bad{"flipped-ciphertext", "corrupt", "a bit of the ciphertext", flip(box, 32)},
		bad{"flipped-tag", "corrupt", "a bit of the tag", flip(box, -1)},
	)
	m.add("box", "other-kind", "corrupt", "sealed as kind 6, opened as kind 7", with("box-kind", "7"), box)
	m.add("box", "other-repository", "corrupt", "sealed for another repository", with("repository", hexOf(fill(0x11, 16))), box)
	m.add("box", "other-key", "corrupt", "sealed with another key", with("key", hexOf(dataSecret)), box)
}

func records(m *maker) {
	h := header{"limit": "400"}
	body := []byte("{}")
	m.add("record", "ok-raw", "ok", "codec 0", h, cat(0, len(body), body), "body "+hexOf(body))
	m.add("record", "ok-zstd", "ok", "codec 1, a frame of the zstd command", h, cat(1, len(foreignText), foreign), "body "+hexOf(foreignText))
	m.add("record", "ok-at-limit", "ok", "as long as the limit allows", h, cat(0, 400, make([]byte, 400)), "body "+hexOf(make([]byte, 400)))
	m.bad("record", h,
		bad{"over-limit", "corrupt", "one byte over the limit", cat(0, 401, make([]byte, 401))},
		bad{"over-limit-promised", "corrupt", "the length alone is over the limit", cat(1, uint64(1)<<62)},
		bad{"codec-2", "newer", "an unknown codec", cat(2, 2, body)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "fewer bytes than the length says", cat(0, 2, "{")},
		bad{"longer", "corrupt", "more bytes than the length says", cat(0, 2, "{}}")},
		bad{"zstd-cut", "corrupt", "the frame's last byte is missing", cat(1, len(foreignText), cut(foreign, -1))},
		bad{"zstd-shorter", "corrupt", "the frame decodes to fewer bytes", cat(1, 21, frame('x', 20))},
		bad{"zstd-longer", "corrupt", "the frame decodes to more bytes", cat(1, 19, frame('x', 20))},
		bad{"zstd-two-frames", "corrupt", "two frames", cat(1, 40, frame('x', 20), frame('x', 20))},
		bad{"zstd-skippable", "corrupt", "a skippable frame in front", cat(1, 20, unhex("502a4d1800000000"), frame('x', 20))},
		bad{"zstd-dictionary", "corrupt", "a frame that needs a dictionary", cat(1, 1, unhex("28b52ffd210701090000"), "x")},
		bad{"not-shortest", "corrupt", "length in a longer form", cat(0, unhex("8200"), body)},
	)
}

func chunkIDs(m *maker) {
	for kind := byte(1); kind <= 3; kind++ {
		h := header{"id-key": hexOf(idKey), "chunk-kind": fmt.Sprint(kind)}
		m.add("chunkid", fmt.Sprintf("kind-%d", kind), "ok", "first 16 bytes of keyed(id key, kind ‖ hash(chunk))", h, []byte("a chunk"), "id "+hexOf(chunkID(kind, []byte("a chunk"))))
	}
	h := header{"id-key": hexOf(idKey), "chunk-kind": "1"}
	long := fill(0, 3000)
	m.add("chunkid", "long", "ok", "3,000 bytes, more than one block of the hash", h, long, "id "+hexOf(chunkID(1, long)))
}

// segments are plaintexts; a test seals them first.
func segments(m *maker) {
	h := header{"id-key": hexOf(idKey), "chunk-kind": "2"}
	want := func(chunks ...string) (lines []string) {
		for _, c := range chunks {
			lines = append(lines, fmt.Sprintf("chunk %d %x", len(c), chunkID(2, []byte(c))))
		}
		return lines
	}
	m.add("segment", "ok-raw", "ok", "one chunk, codec 0", h, cat(0, 1, 5, "bytes"), want("bytes")...)
	m.add("segment", "ok-several", "ok", "three chunks, codec 0", h, cat(0, 3, 1, 2, 3, "abbccc"), want("a", "bb", "ccc")...)
	m.add("segment", "ok-zstd", "ok", "one chunk, codec 1, a frame of the zstd command", h, cat(1, 1, len(foreignText), foreign), want(string(foreignText))...)
	m.add("segment", "ok-zstd-several", "ok", "two chunks, codec 1", h, cat(1, 2, 300, 19, foreign), want(string(foreignText[:300]), string(foreignText[300:]))...)
	m.bad("segment", h,
		bad{"codec-3", "newer", "an unknown codec", cat(3, 1, 1, "a")},
		bad{"codec-2-alone", "corrupt", "codec 2 where the directory tells of no dictionary", cat(2, 1, len(primedText), primed)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"no-chunk", "corrupt", "a segment holds one chunk at least", cat(0, 0)},
		bad{"chunk-of-no-bytes", "corrupt", "a chunk has one byte at least", cat(0, 2, 0, 1, "a")},
		bad{"65537-chunks", "corrupt", "one more than the limit", cat(0, 65_537, bytes.Repeat([]byte{1}, 100))},
		bad{"chunk-over-limit", "corrupt", "a chunk of 16 MiB and a byte", cat(1, 1, 16<<20+1, frame('x', 20))},
		bad{"sum-over-limit", "corrupt", "chunks of 16 MiB and a byte together", cat(1, 2, 16<<20, 1, frame('x', 20))},
		bad{"cut", "corrupt", "the last byte is missing", cat(0, 2, 2, 2, "aab")},
		bad{"longer", "corrupt", "a byte behind the chunks", cat(0, 1, 1, "ab")},
		bad{"not-shortest", "corrupt", "count in a longer form", cat(0, unhex("8100"), 1, "a")},
		bad{"zstd-shorter", "corrupt", "the frame decodes to fewer bytes", cat(1, 1, 21, frame('x', 20))},
		bad{"zstd-two-frames", "corrupt", "two frames", cat(1, 1, 40, frame('x', 20), frame('x', 20))},
	)
	with := header{"id-key": h["id-key"], "chunk-kind": "1", "dictionary": hexOf(primer)}
	m.add("segment", "ok-dictionary", "ok", "one chunk, codec 2, a frame of the zstd command, with a dictionary", with, cat(2, 1, len(primedText), primed),
		fmt.Sprintf("chunk %d %x", len(primedText), chunkID(1, primedText)))
	m.bad("segment", with,
		bad{"dictionary-for-codec-1", "corrupt", "codec 1 where the directory tells of a dictionary", cat(1, 1, 20, frame('x', 20))},
		bad{"dictionary-for-codec-0", "corrupt", "codec 0 where the directory tells of a dictionary", cat(0, 1, 1, "a")},
		bad{"dictionary-shorter", "corrupt", "the frame decodes to fewer bytes", cat(2, 1, len(primedText)+1, primed)},
		bad{"dictionary-named", "corrupt", "a frame that names a dictionary", cat(2, 1, 1, unhex("28b52ffd210701090000"), "x")},
		bad{"dictionary-checksum", "corrupt", "a frame with a checksum", cat(2, 1, len(primedText), primedChecksum)},
		bad{"dictionary-two-frames", "corrupt", "two frames", cat(2, 1, 2*len(primedText), primed, primed)},
	)
	short := header{"id-key": h["id-key"], "chunk-kind": "1", "dictionary": hexOf(primer[:20])}
	m.bad("segment", short, bad{"dictionary-too-short", "corrupt", "a match that reaches beyond the dictionary", cat(2, 1, len(primedText), primed)})
}

// directories are plaintexts; a test seals them first.
func directories(m *maker) {
	a, b, c := fill(1, 16), fill(2, 16), fill(3, 16)
	row := cat(2, 1, 300, 2, 1, 70, 1, a, b, c, 1000, 16<<20-1000, 5)
	want := []string{"segment 1 0 300", "chunk " + hexOf(a) + " 1000", "chunk " + hexOf(b) + " 16776216", "segment 1 300 70", "chunk " + hexOf(c) + " 5"}
	m.add("directory", "ok-empty", "ok", "no segment", nil, cat(0))
	m.add("directory", "ok", "ok", "two segments, three chunks", nil, row, want...)
	m.add("directory", "ok-padded", "ok", "zero bytes to the PADMÉ grid", nil, padded(row, 0, 0), want...)
	m.add("directory", "ok-much-padding", "ok", "more zero bytes than the grid asks for", nil, cat(row, make([]byte, 300)), want...)
	one := func(kind, length, count int, rest ...any) []byte {
		return cat(append([]any{1, kind, length, count}, rest...)...)
	}
	m.bad("directory", nil,
		bad{"padding-not-zero", "corrupt", "a byte of the padding is not zero", cat(row, make([]byte, 9), []byte{1})},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last length is missing", cut(row, -1)},
		bad{"kind-0", "corrupt", "no such kind", one(0, 300, 1, a, 5)},
		bad{"kind-4", "corrupt", "no such kind of segment", one(4, 300, 1, a, 5)},
		bad{"no-chunk", "corrupt", "a segment without chunks", one(1, 300, 0)},
		bad{"zero-id", "corrupt", "sixteen zero bytes are no chunk's id", one(1, 300, 1, make([]byte, 16), 5)},
		bad{"chunk-of-no-bytes", "corrupt", "a chunk has one byte at least", one(1, 300, 1, a, 0)},
		bad{"chunk-over-limit", "corrupt", "a chunk of 16 MiB and a byte", one(1, 300, 1, a, 16<<20+1)},
		bad{"sum-over-limit", "corrupt", "chunks of 16 MiB and a byte together", one(1, 300, 2, a, b, 16<<20, 1)},
		bad{"box-over-limit", "corrupt", "a box longer than any segment's", one(1, 16<<20+64<<12+65, 1, a, 5)},
		bad{"65537-chunks", "corrupt", "one more than a segment may have", one(1, 300, 65_537, bytes.Repeat([]byte{1}, 64))},
		bad{"1000001-segments", "corrupt", "one more than a pack may have", cat(1_000_001, make([]byte, 64))},
		bad{"not-shortest", "corrupt", "a length in a longer form", cat(1, 1, unhex("ac8200"), 1, a, 5)},
	)
	primed := func(first, back int, lengths ...any) []byte {
		return cat(append([]any{3, 1, 300, 1, first, 80, 1, 12, 70, 1, back, a, b, c}, lengths...)...)
	}
	m.add("directory", "ok-dictionary", "ok", "the third segment has the first for dictionary", nil, primed(1, 2, 256<<10, 16<<20, 5),
		"segment 1 0 300", "chunk "+hexOf(a)+" 262144", "segment 1 300 80", "chunk "+hexOf(b)+" 16777216", "segment 1 380 70 dictionary 0", "chunk "+hexOf(c)+" 5")
	m.bad("directory", nil,
		bad{"dictionary-over-limit", "corrupt", "a dictionary of 256 KiB and a byte", primed(1, 2, 256<<10+1, 7, 5)},
		bad{"dictionary-itself", "corrupt", "a segment that is its own dictionary", primed(1, 0, 7, 7, 5)},
		bad{"dictionary-before-pack", "corrupt", "a dictionary before the first segment", primed(1, 3, 7, 7, 5)},
		bad{"dictionary-of-tree", "corrupt", "a tree segment is no dictionary", primed(2, 1, 7, 7, 5)},
		bad{"dictionary-too-far", "corrupt", "a dictionary 65,536 segments away", primed(1, 65_536, 7, 7, 5)},
		bad{"dictionary-of-dictionary", "corrupt", "a segment that has a dictionary is none", cat(3, 1, 300, 1, 12, 80, 1, 1, 12, 70, 1, 1, a, b, c, 7, 7, 5)},
	)
}

// primedPack returns a pack of two segments, of which the second has the first for dictionary, and its wanted lines.
func primedPack(version int) ([]byte, []string) {
	boxes := [][]byte{seal(dataSecret, 1, cat(0, 1, len(primer), primer)), seal(dataSecret, 1, cat(2, 1, len(primedText), primed))}
	ids := [][]byte{chunkID(1, primer), chunkID(1, primedText)}
	box := seal(metaSecret, 4, padded(cat(2, 1, len(boxes[0]), 1, 12, len(boxes[1]), 1, 1, ids[0], ids[1], len(primer), len(primedText)), 0, 0))
	file := padded(cat(boxes[0], boxes[1]), len(box)+64, 0xee)
	footer := cat("snappack", le(uint64(version), 2), []byte{1}, []byte{0}, le(uint64(len(box)), 4), repository, make([]byte, 16))
	file = cat(file, box, footer, sum(footer)[:16])
	return file, []string{fmt.Sprintf("pack %x class 1 size %d", sum(file), len(file)),
		fmt.Sprintf("segment 1 0 %d", len(boxes[0])), fmt.Sprintf("chunk %x %d", ids[0], len(primer)),
		fmt.Sprintf("segment 1 %d %d dictionary 0", len(boxes[0]), len(boxes[1])), fmt.Sprintf("chunk %x %d", ids[1], len(primedText))}
}

// pack returns a pack of two segments and its wanted lines. edit may change the footer before its checksum is made.
func pack(class, kind byte, edit func(footer []byte)) ([]byte, []string) {
	secret := metaSecret
	if kind == 1 {
		secret = dataSecret
	}
	first, second := []byte("first chunk"), bytes.Repeat([]byte("x"), 200)
	boxes := [][]byte{seal(secret, kind, cat(0, 1, len(first), first)), seal(secret, kind, cat(1, 1, 200, frame('x', 200)))}
	ids := [][]byte{chunkID(kind, first), chunkID(kind, second)}
	directory := cat(2, []byte{kind}, len(boxes[0]), 1, []byte{kind}, len(boxes[1]), 1, ids[0], ids[1], len(first), 200)
	box := seal(metaSecret, 4, padded(directory, 0, 0))
	file := padded(cat(boxes[0], boxes[1]), len(box)+64, 0xee)
	footer := cat("snappack", le(1, 2), []byte{class}, []byte{0}, le(uint64(len(box)), 4), repository, make([]byte, 16))
	if edit != nil {
		edit(footer)
	}
	file = cat(file, box, footer, sum(footer)[:16])
	return file, []string{fmt.Sprintf("pack %x class %d size %d", sum(file), class, len(file)),
		fmt.Sprintf("segment %d 0 %d", kind, len(boxes[0])), fmt.Sprintf("chunk %x %d", ids[0], len(first)),
		fmt.Sprintf("segment %d %d %d", kind, len(boxes[0]), len(boxes[1])), fmt.Sprintf("chunk %x 200", ids[1])}
}

func packs(m *maker) {
	h := header{"repository": hexOf(repository), "key": hexOf(metaSecret)}
	data, want := pack(1, 1, nil)
	m.add("pack", "ok-data", "ok", "a pack of two data segments, sealed with the content key 60 61 62 …", h, data, want...)
	meta, metaWant := pack(2, 3, nil)
	m.add("pack", "ok-meta", "ok", "a pack of two reference segments", h, meta, metaWant...)
	edited := func(edit func(f []byte)) []byte { p, _ := pack(1, 1, edit); return p }
	mixed, _ := pack(2, 1, nil)
	withDictionary, primedWant := primedPack(2)
	m.add("pack", "ok-dictionary", "ok", "a pack of two data segments, of which the second has the first for dictionary", h, withDictionary, primedWant...)
	earlier, _ := primedPack(1)
	m.bad("pack", h,
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut(data, -1)},
		bad{"flipped-footer", "corrupt", "a bit of the footer", flip(data, -50)},
		bad{"flipped-checksum", "corrupt", "a bit of the footer's checksum", flip(data, -1)},
		bad{"flipped-directory", "corrupt", "a bit of the directory's box", flip(data, -80)},
		bad{"class-mismatch", "corrupt", "data segments in a pack of class 2", mixed},
		bad{"version-3", "newer", "a later version", edited(func(f []byte) { f[8] = 3 })},
		bad{"version-2-alone", "corrupt", "version 2 without a dictionary", edited(func(f []byte) { f[8] = 2 })},
		bad{"dictionary-in-version-1", "corrupt", "a dictionary in a pack of version 1", earlier},
		bad{"version-0", "corrupt", "there is no version 0", edited(func(f []byte) { f[8] = 0 })},
		bad{"class-3", "corrupt", "an unknown class", edited(func(f []byte) { f[10] = 3 })},
		bad{"zero-not-zero", "corrupt", "a byte that must be zero is not", edited(func(f []byte) { f[47] = 1 })},
		bad{"magic", "corrupt", "not the magic", edited(func(f []byte) { f[0] = 'S' })},
		bad{"directory-over-file", "corrupt", "a directory longer than the file", edited(func(f []byte) { f[14] = 1 })},
		bad{"directory-of-no-bytes", "corrupt", "a directory's box has 48 bytes at least", edited(func(f []byte) { f[12], f[13] = 0, 0 })},
		bad{"other-repository", "corrupt", "a pack of another repository", edited(func(f []byte) { f[16]++ })},
	)
}

func indexes(m *maker) {
	a, b, name, other := fill(1, 16), fill(2, 16), fill(0x80, 32), fill(0xb0, 32)
	body := cat(1, 1, other, 2,
		name, []byte{1}, 1024, 1, 1, 300, 2, a, b, 10, 20,
		other, []byte{2}, 500, 2, 2, 100, 1, 3, 50, 1, a, b, 7, 8)
	m.add("index", "ok-empty", "ok", "no pack", nil, cat(1, 0, 0))
	m.add("index", "ok", "ok", "two packs, replaces another index file", nil, body, "supersedes "+hexOf(other),
		"pack "+hexOf(name)+" class 1 size 1024", "segment 1 0 300", "chunk "+hexOf(a)+" 10", "chunk "+hexOf(b)+" 20",
		"pack "+hexOf(other)+" class 2 size 500", "segment 2 0 100", "chunk "+hexOf(a)+" 7", "segment 3 100 50", "chunk "+hexOf(b)+" 8")
	primed := func(version int) []byte {
		return cat(version, 0, 1, name, []byte{1}, 1024, 2, 1, 300, 1, 12, 70, 1, 1, a, b, 10, 20)
	}
	m.add("index", "ok-dictionary", "ok", "a segment with a dictionary", nil, primed(2), "pack "+hexOf(name)+" class 1 size 1024",
		"segment 1 0 300", "chunk "+hexOf(a)+" 10", "segment 1 300 70 dictionary 0", "chunk "+hexOf(b)+" 20")
	pack := func(class byte, size int, rest ...any) []byte {
		return cat(append([]any{1, 0, 1, name, []byte{class}, size}, rest...)...)
	}
	m.bad("index", nil,
		bad{"version-3", "newer", "a later version, of which nothing is known", cat(3, "whatever")},
		bad{"version-2-alone", "corrupt", "version 2 without a dictionary", cat(2, 0, 0)},
		bad{"dictionary-in-version-1", "corrupt", "a dictionary in an index of version 1", primed(1)},
		bad{"version-0", "corrupt", "there is no version 0", cat(0, 0, 0)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut(body, -1)},
		bad{"longer", "corrupt", "a byte behind the end", cat(body, 0)},
		bad{"padded", "corrupt", "directories stand here without padding", pack(1, 1024, 1, 1, 300, 1, a, 10, make([]byte, 8))},
		bad{"class-0", "corrupt", "no such class", pack(0, 1024, 0)},
		bad{"class-mismatch", "corrupt", "a tree segment in a data pack", pack(1, 1024, 1, 2, 300, 1, a, 10)},
		bad{"pack-too-small", "corrupt", "segments longer than the pack", pack(1, 299, 1, 1, 300, 1, a, 10)},
		bad{"pack-over-limit", "corrupt", "a pack of 256 MiB and a byte", pack(1, 256<<20+1, 0)},
		bad{"100001-packs", "corrupt", "one more than the limit", cat(1, 0, 100_001)},
		bad{"superseded-over-file", "corrupt", "more names than bytes", cat(1, 1000, other, 0)},
		bad{"not-shortest", "corrupt", "version in a longer form", cat(unhex("8100"), 0, 0)},
	)
}
