package protocol

import (
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
)

// Limits of streams and inspections (docs/protocol.md section 9).
const (
	MaxStreamPiece = 2 << 20 // bytes of a stream in an answer
	maxMounts      = 4 << 10
	maxFinds       = 4 << 10
)

// StreamStartRequest starts a stream of the policy. Its answer is a StreamHandle.
type StreamStartRequest struct {
	Name string
}

// Append appends the message.
func (m *StreamStartRequest) Append(b []byte) []byte { return wire.AppendBytes(b, m.Name) }

// ParseStreamStartRequest parses the message.
func ParseStreamStartRequest(payload []byte) (*StreamStartRequest, error) {
	r := wire.NewReader(payload)
	m := &StreamStartRequest{word(r)}
	return m, done(r, "stream")
}

// StreamHandle names a running stream: the answer to its start, and the question that stops it.
type StreamHandle struct {
	Handle uint64
}

// Append appends the message.
func (m *StreamHandle) Append(b []byte) []byte { return wire.AppendUvarint(b, m.Handle) }

// ParseStreamHandle parses the message.
func ParseStreamHandle(payload []byte) (*StreamHandle, error) {
	r := wire.NewReader(payload)
	m := &StreamHandle{r.Uvarint()}
	return m, done(r, "stream")
}

// StreamNextRequest asks for more of a stream.
type StreamNextRequest struct {
	Handle uint64
	Offset int64 // bytes that the server has had: a question that is asked again after a cut is refused
	Most   int   // bytes
}

// Append appends the message.
func (m *StreamNextRequest) Append(b []byte) []byte {
	b = wire.AppendUvarint(wire.AppendUvarint(b, m.Handle), uint64(m.Offset))
	return wire.AppendUvarint(b, uint64(m.Most))
}

// ParseStreamNextRequest parses the message.
func ParseStreamNextRequest(payload []byte) (*StreamNextRequest, error) {
	r := wire.NewReader(payload)
	m := &StreamNextRequest{Handle: r.Uvarint(), Offset: size(r), Most: r.Count(MaxStreamPiece)}
	if m.Most < 1 {
		r.Failf("no bytes asked for")
	}
	return m, done(r, "stream")
}

// StreamPiece is the next of a stream. After its end the handle is gone.
type StreamPiece struct {
	Data []byte // a part of the payload
	End  bool   // the producer has ended well, and Data is the last
}

// Append appends the message.
func (m *StreamPiece) Append(b []byte) []byte {
	return wire.AppendBytes(append(b, flagByte(m.End)), m.Data)
}

// ParseStreamPiece parses the message.
func ParseStreamPiece(payload []byte) (*StreamPiece, error) {
	r := wire.NewReader(payload)
	m := &StreamPiece{End: readFlag(r), Data: r.Bytes(MaxStreamPiece)}
	return m, done(r, "stream")
}

// HashRequest asks for the hashes of whole files.
type HashRequest struct {
	Paths []string
}

// Append appends the message.
func (m *HashRequest) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(m.Paths)))
	last := ""
	for _, p := range m.Paths {
		b = appendShared(b, last, p)
		last = p
	}
	return b
}

// ParseHashRequest parses the message.
func ParseHashRequest(payload []byte) (*HashRequest, error) {
	r := wire.NewReader(payload)
	m := &HashRequest{}
	last := ""
	for range r.Count(min(MaxFiles, r.Len())) {
		last = filePath(r, last)
		m.Paths = append(m.Paths, last)
	}
	return m, done(r, "hash")
}

// FileHash answers for one file of a HashRequest, in its order.
type FileHash struct {
	Stat tree.Stat // as it was behind the last byte; without a name
	Hash [32]byte  // plain BLAKE3 of the content, holes as zeros
	Err  *Error    // if not nil, the rest is void
}

// AppendFileHash appends an answer. A payload holds any number of them.
func AppendFileHash(b []byte, h *FileHash) []byte {
	if h.Err != nil {
		return h.Err.Append(append(b, 1))
	}
	var none tree.Stat
	return append(appendStat(append(b, 0), &h.Stat, &none), h.Hash[:]...)
}

// ParseFileHashes calls fn with each answer of a payload.
func ParseFileHashes(payload []byte, fn func(*FileHash) error) error {
	r := wire.NewReader(payload)
	var none tree.Stat
	for r.Len() > 0 && r.Err() == nil {
		h := &FileHash{}
		if readFlag(r) {
			h.Err = readError(r)
		} else {
			readStat(r, &h.Stat, &none)
			r.Fill(h.Hash[:])
		}
		if r.Err() != nil {
			break
		}
		if err := fn(h); err != nil {
			return err
		}
	}
	return done(r, "hash")
}

// InventoryAnswer is what there is on the source, whether or not the policy covers it.
type InventoryAnswer struct {
	Mounts    []Mount
	Databases []Database
}

// Mount is a mounted file system that holds files of its own.
type Mount struct {
	Path, Kind, Device string
}

// Database is a database server or file that was seen.
type Database struct {
	Kind  string // as in the policy: postgresql, mariadb, …
	Where string // socket, folder
}

// Append appends the message.
func (m *InventoryAnswer) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(m.Mounts)))
	for _, x := range m.Mounts {
		b = wire.AppendBytes(wire.AppendBytes(wire.AppendBytes(b, x.Path), x.Kind), x.Device)
	}
	b = wire.AppendUvarint(b, uint64(len(m.Databases)))
	for _, x := range m.Databases {
		b = wire.AppendBytes(wire.AppendBytes(b, x.Kind), x.Where)
	}
	return b
}

// ParseInventoryAnswer parses the message.
func ParseInventoryAnswer(payload []byte) (*InventoryAnswer, error) {
	r := wire.NewReader(payload)
	m := &InventoryAnswer{}
	for range r.Count(min(maxMounts, r.Len())) {
		m.Mounts = append(m.Mounts, Mount{word(r), word(r), word(r)})
	}
	for range r.Count(min(maxFinds, r.Len())) {
		m.Databases = append(m.Databases, Database{word(r), word(r)})
	}
	return m, done(r, "inventory")
}
