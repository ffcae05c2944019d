package protocol

import (
	"math/bits"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
)

// Limits of the opening messages (docs/protocol.md section 9).
const (
	maxWord     = 4 << 10 // bytes of a name, a claim or a pattern
	maxRoots    = 4 << 10
	maxStreams  = 1 << 10
	maxPatterns = 16 << 10
	maxEnforced = 64
	maxVersion  = 1 << 16
)

const magic = "snapagent"

// HelloRequest opens the talk.
type HelloRequest struct {
	Version int // the highest that the server speaks
}

// Append appends the message.
func (m *HelloRequest) Append(b []byte) []byte {
	return wire.AppendUvarint(append(b, magic...), uint64(m.Version))
}

// ParseHelloRequest parses the message. Bytes behind what this version knows are of a newer one and are passed over.
func ParseHelloRequest(payload []byte) (*HelloRequest, error) {
	r := wire.NewReader(payload)
	if string(r.Next(len(magic))) != magic {
		r.Failf("no snap server")
	}
	m := &HelloRequest{Version: r.Count(maxVersion)}
	if m.Version == 0 {
		r.Failf("version 0")
	}
	r.Next(r.Len())
	return m, done(r, "hello")
}

// HelloAnswer is what an agent says of itself. All of it is a claim.
type HelloAnswer struct {
	Version  int       // that both will speak
	Program  string    // name and version
	Clock    tree.Time // of the source
	Host     string
	Machine  string   // machine id
	Boot     string   // boot id
	Kernel   string   // name and release
	Enforced []string // what keeps the agent from writing: "landlock", "no-new-privs", …
	Policy   string   // where the policy stands, empty if roots were given on the command line
	Requests int      // questions that may be under way at once
	Roots    []string // absolute paths that may be asked for, and what lies below
	Devices  []string // block devices that may be read
	Streams  []StreamInfo
}

// StreamInfo names a stream of the policy.
type StreamInfo struct {
	Name, Kind string
}

// Append appends the message.
func (m *HelloAnswer) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(m.Version))
	b = appendTime(wire.AppendBytes(b, m.Program), m.Clock)
	for _, s := range []string{m.Host, m.Machine, m.Boot, m.Kernel, m.Policy} {
		b = wire.AppendBytes(b, s)
	}
	b = appendWords(b, m.Enforced)
	b = wire.AppendUvarint(b, uint64(m.Requests))
	b = appendWords(appendWords(b, m.Roots), m.Devices)
	b = wire.AppendUvarint(b, uint64(len(m.Streams)))
	for _, s := range m.Streams {
		b = wire.AppendBytes(wire.AppendBytes(b, s.Name), s.Kind)
	}
	return b
}

// ParseHelloAnswer parses the message. The error satisfies errors.Is(err, ErrVersion) if the agent chose a version that
// this package does not speak: what follows the version is of that one and is not looked at.
func ParseHelloAnswer(payload []byte) (*HelloAnswer, error) {
	r := wire.NewReader(payload)
	m := &HelloAnswer{Version: r.Count(maxVersion)}
	if r.Err() == nil && m.Version > 0 {
		if err := checkVersion(m.Version); err != nil {
			return nil, err
		}
	}
	m.Program, m.Clock = word(r), readTime(r)
	for _, s := range []*string{&m.Host, &m.Machine, &m.Boot, &m.Kernel, &m.Policy} {
		*s = word(r)
	}
	m.Enforced = readWords(r, maxEnforced)
	m.Requests = r.Count(1 << 20)
	m.Roots, m.Devices = readWords(r, maxRoots), readWords(r, maxRoots)
	for range r.Count(min(maxStreams, r.Len())) {
		m.Streams = append(m.Streams, StreamInfo{word(r), word(r)})
	}
	if m.Version == 0 || m.Requests == 0 {
		r.Failf("version %d, %d requests", m.Version, m.Requests)
	}
	return m, done(r, "hello")
}

// Options of a BeginRequest.
const (
	OneFileSystem = 1 << iota
	ExcludeCaches
	NoXattrs
	WithAtime
	CompressAnswers
	knownOptions = 1<<iota - 1
)

// BeginRequest says what the server will ask about. It is sent once, behind hello.
type BeginRequest struct {
	Roots            []string // absolute, within the agent's
	Devices          []string // roots that are block devices, read as files
	Options          uint64
	Excludes         []string // patterns as of package filter
	ExcludesFold     []string // the same, whatever the case of letters
	ExcludeIfPresent []string
	LargerThan       int64 // bytes; files above are left out; 0 means none is
	Files, Database  chunker.Params
}

// Append appends the message.
func (m *BeginRequest) Append(b []byte) []byte {
	b = appendWords(appendWords(b, m.Roots), m.Devices)
	b = wire.AppendUvarint(b, m.Options)
	b = appendWords(appendWords(b, m.Excludes), m.ExcludesFold)
	b = appendWords(b, m.ExcludeIfPresent)
	b = wire.AppendUvarint(b, uint64(m.LargerThan))
	return appendChunker(appendChunker(b, m.Files), m.Database)
}

// ParseBeginRequest parses the message.
func ParseBeginRequest(payload []byte) (*BeginRequest, error) {
	r := wire.NewReader(payload)
	m := &BeginRequest{Roots: readWords(r, maxRoots), Devices: readWords(r, maxRoots), Options: r.Uvarint()}
	m.Excludes, m.ExcludesFold = readWords(r, maxPatterns), readWords(r, maxPatterns)
	m.ExcludeIfPresent = readWords(r, maxPatterns)
	m.LargerThan = size(r)
	m.Files, m.Database = readChunker(r), readChunker(r)
	if m.Options&^knownOptions != 0 {
		r.Failf("options %#x", m.Options)
	}
	return m, done(r, "begin")
}

// BeginAnswer tells which roots cannot be read.
type BeginAnswer struct {
	Problems []RootProblem
}

// RootProblem is a root and what is wrong with it.
type RootProblem struct {
	Root string
	Err  *Error
}

// Append appends the message.
func (m *BeginAnswer) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(m.Problems)))
	for _, p := range m.Problems {
		b = p.Err.Append(wire.AppendBytes(b, p.Root))
	}
	return b
}

// ParseBeginAnswer parses the message.
func ParseBeginAnswer(payload []byte) (*BeginAnswer, error) {
	r := wire.NewReader(payload)
	m := &BeginAnswer{}
	for range r.Count(min(2*maxRoots, r.Len())) {
		m.Problems = append(m.Problems, RootProblem{word(r), readError(r)})
	}
	return m, done(r, "begin")
}

// Empty is a message without a field: the questions Inventory and Ping, and the answers to Ping and StreamStop.
type Empty struct{}

// ParseEmpty parses the message.
func ParseEmpty(payload []byte) (*Empty, error) {
	return &Empty{}, done(wire.NewReader(payload), "empty message")
}

func appendChunker(b []byte, p chunker.Params) []byte {
	b = append(b, byte(p.Algorithm))
	for _, v := range []uint64{uint64(p.Polynomial), uint64(p.MinSize), uint64(p.MaxSize), uint64(p.AverageBits)} {
		b = wire.AppendUvarint(b, v)
	}
	return b
}

func readChunker(r *wire.Reader) chunker.Params {
	p := chunker.Params{Algorithm: chunker.Algorithm(r.Byte()), Polynomial: chunker.Polynomial(r.Uvarint()),
		MinSize: r.Count(chunker.MaxSizeLimit), MaxSize: r.Count(chunker.MaxSizeLimit), AverageBits: r.Count(bits.UintSize)}
	if r.Err() == nil {
		if err := p.Validate(); err != nil {
			r.Failf("%v", err)
		}
	}
	return p
}

func appendWords(b []byte, words []string) []byte {
	b = wire.AppendUvarint(b, uint64(len(words)))
	for _, w := range words {
		b = wire.AppendBytes(b, w)
	}
	return b
}

func readWords(r *wire.Reader, limit int) (words []string) {
	for range r.Count(min(limit, r.Len())) {
		words = append(words, word(r))
	}
	return words
}

func word(r *wire.Reader) string { return string(r.Bytes(maxWord)) }

// size reads a length or an offset in bytes, which is under 2^63.
func size(r *wire.Reader) int64 {
	n := r.Uvarint()
	if n > 1<<63-1 {
		r.Failf("size %d", n)
		return 0
	}
	return int64(n)
}

func appendTime(b []byte, t tree.Time) []byte {
	return wire.AppendUvarint(wire.AppendVarint(b, t.Sec), uint64(t.Nsec))
}

func readTime(r *wire.Reader) tree.Time {
	return tree.Time{Sec: r.Varint(), Nsec: uint32(r.Count(999_999_999))}
}
