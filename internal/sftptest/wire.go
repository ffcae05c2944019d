package sftptest

import (
	"encoding/binary"
	"io"
)

// Types of packets.
const (
	Init          = 1
	Version       = 2
	Open          = 3
	Close         = 4
	Read          = 5
	Lstat         = 7
	Fstat         = 8
	Opendir       = 11
	Readdir       = 12
	Realpath      = 16
	Stat          = 17
	Readlink      = 19
	Status        = 101
	Handle        = 102
	Data          = 103
	Name          = 104
	Attrs         = 105
	Extended      = 200
	ExtendedReply = 201
)

// Codes of a status.
const (
	OK          = 0
	EOF         = 1
	NoSuchFile  = 2
	Denied      = 3
	Failure     = 4
	Unsupported = 8
)

// Packet is a packet with an id, as it is written: length, type, id, body.
type Packet []byte

// New returns a packet with the body.
func New(kind byte, id uint32, body ...[]byte) Packet {
	p := Packet{0, 0, 0, 0, kind}
	p = binary.BigEndian.AppendUint32(p, id)
	for _, b := range body {
		p = append(p, b...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	return p
}

// U32 encodes a number.
func U32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// U64 encodes a number.
func U64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// Text encodes a string.
func Text(s string) []byte { return append(U32(uint32(len(s))), s...) }

// StatusOf returns a status.
func StatusOf(id, code uint32) Packet {
	return New(Status, id, U32(code), Text("as you like"), Text(""))
}

// File is what the server says of a file. A zero Time is 2001.
type File struct {
	Mode uint32 // with the bits of the type
	Size uint64
	UID  uint32
	Time uint32
	Data string // of a regular file, or the target of a link
}

// Encode encodes the attributes of a file.
func (f File) Encode() []byte {
	if f.Time == 0 {
		f.Time = 1_000_000_000
	}
	b := U32(1 | 2 | 4 | 8)
	b = append(b, U64(f.Size)...)
	for _, v := range []uint32{f.UID, f.UID, f.Mode, f.Time, f.Time} {
		b = append(b, U32(v)...)
	}
	return b
}

// Entry is a name of a folder.
type Entry struct {
	Name string
	File File
}

// Names returns a list of names.
func Names(id uint32, entries ...Entry) Packet {
	body := U32(uint32(len(entries)))
	for _, e := range entries {
		body = append(append(append(body, Text(e.Name)...), Text("-rw-r--r--    1 u g 1 Jan 1 2001 x")...), e.File.Encode()...)
	}
	return New(Name, id, body)
}

// Request is what a client asks.
type Request struct {
	Kind   byte
	ID     uint32
	Text   string // path, handle, or name of an extension
	Offset uint64 // of a read
	Length uint32
	Path   string // that the handle belongs to, or Text
	Nth    int    // how often this kind was asked for this path before
}

// read reads a request; the greeting has no id.
func read(r io.Reader) (*Request, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 5 || size > 1<<20 {
		return nil, io.ErrUnexpectedEOF
	}
	body := make([]byte, size-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	q := &Request{Kind: head[4], ID: binary.BigEndian.Uint32(body)}
	body = body[4:]
	if q.Kind == Init || len(body) < 4 {
		return q, nil
	}
	n := binary.BigEndian.Uint32(body)
	if uint64(n) > uint64(len(body)-4) {
		return nil, io.ErrUnexpectedEOF
	}
	q.Text, body = string(body[4:4+n]), body[4+n:]
	if q.Path = q.Text; q.Kind == Read && len(body) >= 12 {
		q.Offset, q.Length = binary.BigEndian.Uint64(body), binary.BigEndian.Uint32(body[8:])
	}
	return q, nil
}
