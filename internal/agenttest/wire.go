package agenttest

import (
	"encoding/binary"
	"errors"
	"io"
)

// Types of questions, and what makes answers of them.
const (
	Hello       = 1
	Begin       = 2
	List        = 3
	Read        = 4
	Fetch       = 5
	StreamStart = 6
	StreamNext  = 7
	StreamStop  = 8
	Hash        = 9
	Inventory   = 10
	Ping        = 11

	Answer = 0x80
	Failed = 0xff
)

// Flags of a frame.
const (
	Compressed = 1
	More       = 2
)

// Kinds of entries.
const (
	Regular   = 1
	Directory = 2
	Symlink   = 3
	Fifo      = 4
	Socket    = 5
	Character = 6
	Block     = 7
)

// Codes of errors.
const (
	CodeOther    = 1
	CodeNotExist = 2
	CodeReplaced = 4
	CodeVersion  = 9
	CodeStream   = 10
	CodeRoot     = 11
)

// Statuses of a directory.
const (
	Same  = 0
	Part  = 1
	Last  = 2
	Broke = 3
)

// Join joins encodings.
func Join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// U32 encodes a number of four bytes.
func U32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// Varint encodes a number from 0.
func Varint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// Signed encodes a number that may be negative.
func Signed(v int64) []byte { return binary.AppendVarint(nil, v) }

// Text encodes a string with its length.
func Text(s string) []byte { return append(Varint(uint64(len(s))), s...) }

// Texts encodes a list of strings.
func Texts(list ...string) []byte {
	b := Varint(uint64(len(list)))
	for _, s := range list {
		b = append(b, Text(s)...)
	}
	return b
}

// Frame returns a frame.
func Frame(id uint32, kind, flags byte, payload []byte) []byte {
	return Join(U32(uint32(len(payload))), U32(id), []byte{kind, flags}, payload)
}

// Error encodes an error.
func Error(code byte, text string) []byte { return append([]byte{code}, Text(text)...) }

// Question is what a server asks.
type Question struct {
	ID      uint32
	Kind    byte
	Payload []byte
	Nth     int // how many questions of the kind came before, on all connections
	Dial    int // how many connections came before

	Dirs   []Dir   // of a list
	Files  []Ask   // of a read
	Path   string  // of a fetch
	Pieces []Piece // of a fetch
	Paths  []string
	Name   string // of a stream's start
	Handle uint64
	Offset uint64
	Most   uint64
	// Options are the bits of a begin.
	Options uint64
}

// CompressAnswers is the bit of Options that asks for compressed answers.
const CompressAnswers = 16

// Dir is a directory that is asked for, and what the server has of it.
type Dir struct {
	Path string
	Runs int
}

// Ask is a file that is asked for.
type Ask struct {
	Number     int // in the question
	Path       string
	Inode      uint64
	From, Most uint64
	Send       bool
}

// Piece is a piece of a file that is asked for.
type Piece struct{ Offset, Length int64 }

// errQuestion says that a server asked what is no question.
var errQuestion = errors.New("agenttest: malformed question")

// read reads a question.
func read(r io.Reader) (*Question, error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > 4<<20 {
		return nil, errQuestion
	}
	q := &Question{ID: binary.LittleEndian.Uint32(head[4:]), Kind: head[8], Payload: make([]byte, size)}
	if _, err := io.ReadFull(r, q.Payload); err != nil {
		return nil, err
	}
	c := &cursor{b: q.Payload}
	q.parse(c)
	if c.bad {
		return nil, errQuestion
	}
	return q, nil
}

func (q *Question) parse(c *cursor) {
	last, end := "", int64(0)
	var inode uint64
	switch q.Kind {
	case Begin:
		for range 2 { // roots, devices
			for range c.varint() {
				c.text()
			}
		}
		q.Options = c.varint()
	case List:
		for range c.varint() {
			last = c.shared(last)
			d := Dir{Path: last}
			for range c.varint() {
				c.text()
				c.varint()
				c.take(16)
				d.Runs++
			}
			q.Dirs = append(q.Dirs, d)
		}
	case Read:
		for i := range c.varint() {
			last = c.shared(last)
			inode += uint64(c.signed())
			q.Files = append(q.Files, Ask{int(i), last, inode, c.varint(), c.varint(), len(c.b) > 0 && c.take(1)[0] == 1})
		}
	case Fetch:
		q.Path = c.shared("")
		c.varint()
		for range c.varint() {
			p := Piece{Offset: end + c.signed(), Length: int64(c.varint())}
			end = p.Offset + p.Length
			q.Pieces = append(q.Pieces, p)
		}
	case Hash:
		for range c.varint() {
			last = c.shared(last)
			q.Paths = append(q.Paths, last)
		}
	case StreamStart:
		q.Name = c.text()
	case StreamNext:
		q.Handle, q.Offset, q.Most = c.varint(), c.varint(), c.varint()
	}
}

// cursor takes a question apart.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return make([]byte, min(n, 16))
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) varint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) signed() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) text() string { return string(c.take(c.varint())) }

func (c *cursor) shared(last string) string {
	n := c.varint()
	if n > uint64(len(last)) {
		c.bad = true
		return ""
	}
	return last[:n] + c.text()
}
