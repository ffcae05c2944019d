// Package snapshot holds snapshot records and the labels on them: what they say, and
// how they are encoded (docs/format.md section 9). It is pure.
package snapshot

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/jsonrecord"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Errors of this package.
var (
	// ErrCorrupt says that a record is not what the format allows.
	ErrCorrupt = errors.New("corrupt snapshot record")
	// ErrNewer says that a record is of a later version of the format.
	ErrNewer = errors.New("snapshot record of a newer format version")
)

const version = 1

// SourceID names the history that a snapshot belongs to.
type SourceID [16]byte

// String returns id as 32 lower-case hex digits.
func (id SourceID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns String.
func (id SourceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses what String returns.
func (id *SourceID) UnmarshalText(b []byte) error {
	c, err := pack.ParseChunkID(string(b))
	*id = SourceID(c)
	return err
}

// SourceIDOf returns the id of the source of a name.
func SourceIDOf(name string) (id SourceID) {
	sum := blake3.Sum256([]byte("snap v1 source\x00" + name))
	copy(id[:], sum[:])
	return id
}

// Bytes is a byte string that is text most of the time. In JSON it is a string if it is
// valid UTF-8, else {"b64":"…"}.
type Bytes string

type encodedBytes struct {
	B64 *string `json:"b64"`
}

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(b)) {
		return json.Marshal(string(b))
	}
	text := base64.StdEncoding.EncodeToString([]byte(b))
	return json.Marshal(encodedBytes{&text})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var e encodedBytes
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.B64 == nil {
			return errors.New("a byte string without b64")
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(*e.B64)
		if err == nil && (utf8.Valid(raw) || strings.ContainsAny(*e.B64, "\r\n")) {
			err = errors.New("a byte string in another form than its own")
		}
		*b = Bytes(raw)
		return err
	}
	return json.Unmarshal(data, (*string)(b))
}

// Marks of a snapshot.
const (
	// MarkPartial says that something could not be read.
	MarkPartial = "partial"
	// MarkSuspicious says that a guard tripped: the snapshot takes no retention slot.
	MarkSuspicious = "suspicious"
)

// PartKind says what a part of a snapshot is.
type PartKind string

// The kinds of parts.
const (
	PartTree   PartKind = "tree"
	PartStream PartKind = "stream"
)

// Origin tells of a pulled source, mostly what it claimed.
type Origin struct {
	Transport string            `json:"transport"`
	Reduced   bool              `json:"reduced,omitempty"` // metadata: no attributes, links, holes; times in seconds
	Program   Bytes             `json:"program,omitempty"`
	Machine   Bytes             `json:"machine,omitempty"` // machine id
	Host      Bytes             `json:"host,omitempty"`
	Mounts    map[string]string `json:"mounts,omitempty"` // of each path: what is mounted where it lies
}

// Part is one of the things that a snapshot was made of.
type Part struct {
	Name    Bytes    `json:"name"`
	Kind    PartKind `json:"kind"`
	Path    Bytes    `json:"path"` // in the tree
	Command Bytes    `json:"command,omitempty"`
}

// Summary counts what a run saw and wrote. It is informative.
type Summary struct {
	FilesNew        int64 `json:"files_new"`
	FilesChanged    int64 `json:"files_changed"`
	FilesUnmodified int64 `json:"files_unmodified"`
	DirsNew         int64 `json:"dirs_new"`
	DirsChanged     int64 `json:"dirs_changed"`
	DirsUnmodified  int64 `json:"dirs_unmodified"`
	DataChunks      int64 `json:"data_blobs"`
	TreeChunks      int64 `json:"tree_blobs"`
	DataAdded       int64 `json:"data_added"`
	DataAddedPacked int64 `json:"data_added_packed"`
	Files           int64 `json:"total_files_processed"`
	Bytes           int64 `json:"total_bytes_processed"`
	Unreadable      int64 `json:"files_unreadable"`
	ChangedWhenRead int64 `json:"files_changed_while_read"`
}

// Snapshot is a snapshot record.
type Snapshot struct {
	Version    int       `json:"version"`
	Time       time.Time `json:"time"`
	End        time.Time `json:"end"`
	Source     SourceID  `json:"source"`
	SourceName Bytes     `json:"source_name"`
	Sequence   uint64    `json:"sequence"`
	Previous   string    `json:"previous,omitempty"`
	Parent     string    `json:"parent,omitempty"`
	Host       Bytes     `json:"host"`
	User       Bytes     `json:"user,omitempty"`
	UID        uint32    `json:"uid"`
	GID        uint32    `json:"gid"`
	Paths      []Bytes   `json:"paths"`
	Excludes   []Bytes   `json:"excludes,omitempty"`
	Tags       []string  `json:"tags,omitempty"`
	Root       string    `json:"root"`
	Parts      []Part    `json:"parts,omitempty"`
	Marks      []string  `json:"marks,omitempty"`
	Why        string    `json:"why,omitempty"`
	Summary    *Summary  `json:"summary,omitempty"`
	Index      []string  `json:"index,omitempty"`
	Prune      []string  `json:"prune,omitempty"` // prune records that the writer had regard to
	Program    string    `json:"program,omitempty"`
	Original   string    `json:"original,omitempty"` // the snapshot of another repository that this one is a copy of
	// Origin is what a pulled source said of itself, nil for a local one.
	Origin *Origin `json:"origin,omitempty"`
	// Salt makes records of equal content different files.
	Salt string `json:"salt,omitempty"`

	// ID is the record's name; it stands nowhere in it.
	ID pack.ID `json:"-"`
	// Pinned and Note come from labels.
	Pinned bool   `json:"-"`
	Note   string `json:"-"`
	// Trashed says that the snapshot was forgotten and stands in the trash.
	Trashed bool `json:"-"`
}

// RootID returns the chunk id of the tree's root page. It is an error if there is no snapshot at all.
func (s *Snapshot) RootID() (pack.ChunkID, error) {
	if s == nil {
		return pack.ChunkID{}, errors.New("no snapshot")
	}
	id, err := pack.ParseChunkID(s.Root)
	if err != nil || id.IsZero() {
		return id, fmt.Errorf("%w: root %q", ErrCorrupt, s.Root)
	}
	return id, nil
}

// HasMark reports whether the snapshot has the mark.
func (s *Snapshot) HasMark(mark string) bool {
	for _, m := range s.Marks {
		if m == mark {
			return true
		}
	}
	return false
}

// HasTags reports whether the snapshot has all the tags.
func (s *Snapshot) HasTags(tags []string) bool {
	for _, want := range tags {
		found := false
		for _, t := range s.Tags {
			found = found || t == want
		}
		if !found {
			return false
		}
	}
	return true
}

// Encode returns the record's body. random salts it; nil means the system's source.
func (s *Snapshot) Encode(random io.Reader) ([]byte, error) {
	if random == nil {
		random = rand.Reader
	}
	var salt [8]byte
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return nil, err
	}
	c := *s
	c.Version, c.Salt = version, hex.EncodeToString(salt[:])
	return json.Marshal(&c)
}

// Decode parses a record's body.
func Decode(id pack.ID, body []byte) (*Snapshot, error) {
	s := &Snapshot{ID: id}
	if err := decodeVersioned(body, s, "time", "source", "source_name", "sequence", "root"); err != nil {
		return nil, err
	}
	if _, err := s.RootID(); err != nil {
		return nil, err
	}
	if s.Time.IsZero() || s.Source == (SourceID{}) {
		return nil, fmt.Errorf("%w: no time or no source", ErrCorrupt)
	}
	if err := s.checkNames(); err != nil {
		return nil, err
	}
	return s, nil
}

// checkNames refuses what is no name of a file where one stands.
func (s *Snapshot) checkNames() error {
	for _, list := range [][]string{s.Index, s.Prune, {s.Previous, s.Parent, s.Original}} {
		for _, name := range list {
			if _, err := pack.ParseID(name); name != "" && err != nil {
				return fmt.Errorf("%w: %v", ErrCorrupt, err)
			}
		}
	}
	return nil
}

func decodeVersioned(body []byte, v any, required ...string) error {
	err := jsonrecord.Decode(body, v, version, required...)
	switch {
	case errors.Is(err, jsonrecord.ErrNewer):
		return fmt.Errorf("%w: %v", ErrNewer, err)
	case err != nil:
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// Label sets the tags, the pin and the note of a snapshot.
type Label struct {
	Version  int       `json:"version"`
	Snapshot string    `json:"snapshot"`
	Counter  uint64    `json:"counter"`
	Time     time.Time `json:"time"`
	Tags     []string  `json:"tags"`
	Pin      bool      `json:"pin"`
	Note     string    `json:"note,omitempty"`

	ID pack.ID `json:"-"`
}

// Encode returns the label's body.
func (l *Label) Encode() ([]byte, error) {
	c := *l
	c.Version = version
	return json.Marshal(&c)
}

// DecodeLabel parses a label's body.
func DecodeLabel(id pack.ID, body []byte) (*Label, error) {
	l := &Label{ID: id}
	if err := decodeVersioned(body, l, "snapshot", "counter"); err != nil {
		return nil, err
	}
	if _, err := pack.ParseID(l.Snapshot); err != nil {
		return nil, fmt.Errorf("%w: label: %v", ErrCorrupt, err)
	}
	return l, nil
}

// Wins reports whether l holds rather than other, which may be nil.
func (l *Label) Wins(other *Label) bool {
	if other == nil || l.Counter != other.Counter {
		return other == nil || l.Counter > other.Counter
	}
	return l.ID.String() > other.ID.String()
}

// Apply gives the snapshots what the labels that hold say.
func Apply(snapshots []*Snapshot, labels []*Label) {
	holds := map[string]*Label{}
	for _, l := range labels {
		if l.Wins(holds[l.Snapshot]) {
			holds[l.Snapshot] = l
		}
	}
	for _, s := range snapshots {
		if l := holds[s.ID.String()]; l != nil {
			s.Tags, s.Pinned, s.Note = l.Tags, l.Pin, l.Note
		}
	}
}

// Sort orders snapshots by time, then by sequence and id.
func Sort(snapshots []*Snapshot) {
	sort.Slice(snapshots, func(i, k int) bool {
		a, b := snapshots[i], snapshots[k]
		if !a.Time.Equal(b.Time) {
			return a.Time.Before(b.Time)
		}
		if a.Sequence != b.Sequence {
			return a.Sequence < b.Sequence
		}
		return strings.Compare(a.ID.String(), b.ID.String()) < 0
	})
}
