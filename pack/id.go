package pack

import (
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// Kind says what a segment holds; it enters chunk ids and the sealing of boxes
// (docs/format.md sections 5 and 6).
type Kind uint8

// The kinds of segments.
const (
	KindData Kind = 1 // file data, sealed with a content key
	KindTree Kind = 2 // leaf and inner pages of trees
	KindRefs Kind = 3 // reference pages
)

// Class says where a pack is kept and what it holds (docs/format.md section 6).
type Class uint8

// The classes of packs.
const (
	ClassData Class = 1
	ClassMeta Class = 2
)

// Class returns the class of the packs that hold segments of kind k.
func (k Kind) Class() Class {
	if k == KindData {
		return ClassData
	}
	return ClassMeta
}

// ChunkID names a chunk: 16 bytes of a keyed BLAKE3 (docs/format.md section 6).
// The zero ChunkID names no chunk; in a list of parts it stands for a hole.
type ChunkID [16]byte

// IsZero reports whether id is the zero ChunkID.
func (id ChunkID) IsZero() bool { return id == ChunkID{} }

// String returns id as 32 lower-case hex digits.
func (id ChunkID) String() string { return hex.EncodeToString(id[:]) }

// ParseChunkID parses what String returns and nothing else.
func ParseChunkID(s string) (ChunkID, error) {
	var id ChunkID
	err := parseHex(id[:], s)
	return id, err
}

// ID names a pack, or any other file that is named by the BLAKE3 of its bytes.
type ID [32]byte

// IsZero reports whether id is the zero ID, which names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// String returns id as 64 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID parses what String returns and nothing else.
func ParseID(s string) (ID, error) {
	var id ID
	err := parseHex(id[:], s)
	return id, err
}

// SumID returns the ID of a file that holds data.
func SumID(data []byte) ID { return ID(blake3.Sum256(data)) }

func parseHex(dst []byte, s string) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("pack: id %q: want %d hex digits", s, 2*len(dst))
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("pack: id %q: not lower-case hex", s)
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}

// Name returns the name in the store of the pack id of class c.
func Name(c Class, id ID) string {
	s := id.String()
	if c == ClassMeta {
		return "meta/" + s[:2] + "/" + s
	}
	return "data/" + s[:2] + "/" + s
}
