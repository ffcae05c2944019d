package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// cat joins what the format is made of: an int is a varint, a string or []byte its bytes, text a length and bytes, signed an svarint.
func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = varint(b, uint64(p))
		case uint64:
			b = varint(b, p)
		case signed:
			b = varint(b, uint64(p<<1)^uint64(p>>63))
		case text:
			b = append(varint(b, uint64(len(p))), p...)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			panic(fmt.Sprintf("generate: %T", p))
		}
	}
	return b
}

type (
	signed int64
	text   string
)

func varint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// fill returns n bytes that count up from first.
func fill(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0x10
	return b
}

func cut(b []byte, n int) []byte {
	if n < 0 {
		n += len(b)
	}
	return b[:n]
}

// replace replaces the only place where old stands.
func replace(b, old, by []byte) []byte {
	if bytes.Count(b, old) != 1 {
		panic(fmt.Sprintf("generate: %x stands %d times", old, bytes.Count(b, old)))
	}
	return bytes.Replace(b, old, by, 1)
}

var (
	repository = fill(0x10, 16)
	metaSecret = fill(0x40, 32)
	dataSecret = fill(0x60, 32)
	idKey      = fill(0xa0, 32)
)

func derive(context string, key []byte) []byte {
	out := make([]byte, 32)
	blake3.DeriveKey(context, key, out)
	return out
}

func sum(b []byte) []byte {
	s := blake3.Sum256(b)
	return s[:]
}

func keyed(key, b []byte) []byte {
	h, err := blake3.NewKeyed(key)
	if err != nil {
		panic(err)
	}
	h.Write(b)
	return h.Sum(nil)
}

// seal makes a box of the kind, section 5, with zero bytes in place of random ones.
func seal(secret []byte, kind byte, plain []byte) []byte {
	id := derive("snap v1 key id", secret)[:8]
	nonce := keyed(derive("snap v1 nonce", secret), cat(make([]byte, 24), []byte{kind}, sum(plain)))[:24]
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		panic(err)
	}
	return aead.Seal(cat(id, nonce), nonce, plain, cat("snap/v1", repository, []byte{kind}, id))
}

// chunkID returns the id of a chunk of the kind, section 6.
func chunkID(kind byte, chunk []byte) []byte {
	return keyed(idKey, cat([]byte{kind}, sum(chunk)))[:16]
}

// padded fills b up to the PADMÉ grid with the byte.
func padded(b []byte, more int, with byte) []byte {
	n := len(b) + more
	e := bits.Len(uint(n)) - 1
	mask := 1<<(e-bits.Len(uint(e))) - 1
	return append(b, bytes.Repeat([]byte{with}, (n+mask)&^mask-n)...)
}

// le returns v in so many bytes.
func le(v uint64, n int) []byte { return binary.LittleEndian.AppendUint64(nil, v)[:n] }

// frame returns a zstd frame of one block that repeats c n times, n below 256.
func frame(c byte, n int) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(n), byte(n<<3) | 3, byte(n >> 5), 0, c}
}

// foreign is a frame that the zstd command made at level 19, of foreignText.
var foreign = unhex("28b52ffd603f00d50100140374686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f673b20656e640a01005d80aa2a03")

// primed is a frame that the zstd command made at level 19, of primedText with primer for dictionary.
var primed = unhex("28b52ffd2088cd0000504932426f626f70656e3305000be3098123601d00ae230a6c")

// primedChecksum is the same with a checksum.
var primedChecksum = unhex("28b52ffd2488cd0000504932426f626f70656e3305000be3098123601d00ae230a6cbcc2997f")

var (
	primer     = orders(1, "Ada", "paid")
	primedText = cat(orders(2, "Bob", "open"), orders(3, "Ada", "paid"))
)

// orders returns a line of a dump.
func orders(id int, customer, state string) []byte {
	return fmt.Appendf(nil, "INSERT INTO orders (id, customer, state) VALUES (%d, '%s', '%s');\n", id, customer, state)
}

var foreignText = cat(bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), 7), "end\n")
