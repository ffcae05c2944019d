package agenttest

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// Agent is an agent for any number of connections.
type Agent struct {
	Tree Tree
	// Streams are the streams of its policy: name and content.
	Streams map[string]string
	// Greeting, if not nil, is the payload of the answer to hello.
	Greeting []byte
	// Dirs has what is sent for a directory, by its path, in place of the honest Listing.
	Dirs map[string]func(Dir) []byte
	// Files has what is sent for a file, by its path, in place of the honest items.
	Files map[string]func(Ask) []byte
	// Answer writes the frames that are sent instead of the honest one. With false the honest one is sent. It is called from one
	// goroutine for each connection. An error ends the connection.
	Answer func(q *Question, w io.Writer) (answered bool, err error)

	mu    sync.Mutex // guards what follows
	dials int
	asked map[byte]int
	talk  []byte
}

// Dials returns how many connections there have been.
func (a *Agent) Dials() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dials
}

// Asked returns how many questions of a kind there have been.
func (a *Agent) Asked(kind byte) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[kind]
}

// Transcript returns all questions that came, without their ids and without pings, as they came.
func (a *Agent) Transcript() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.talk)
}

// Serve answers on a connection until it ends.
func (a *Agent) Serve(conn io.ReadWriteCloser) {
	defer conn.Close()
	a.mu.Lock()
	dial := a.dials
	a.dials++
	if a.asked == nil {
		a.asked = map[byte]int{}
	}
	a.mu.Unlock()
	r := bufio.NewReader(conn)
	for {
		q, err := read(r)
		if err != nil {
			return
		}
		q.Dial = dial
		a.mu.Lock()
		q.Nth = a.asked[q.Kind]
		a.asked[q.Kind]++
		if q.Kind != Ping {
			a.talk = append(a.talk, Frame(0, q.Kind, 0, q.Payload)...)
		}
		a.mu.Unlock()
		if a.Answer != nil {
			answered, err := a.Answer(q, conn)
			if err != nil {
				return
			}
			if answered {
				continue
			}
		}
		if _, err := conn.Write(a.Honest(q)); err != nil {
			return
		}
	}
}

// Honest returns the frame that answers a question, with what Dirs and Files say.
func (a *Agent) Honest(q *Question) []byte {
	answer := func(parts ...[]byte) []byte { return Frame(q.ID, q.Kind|Answer, 0, Join(parts...)) }
	failed := func(code byte, text string) []byte { return Frame(q.ID, Failed, 0, Error(code, text)) }
	switch q.Kind {
	case Hello:
		if a.Greeting != nil {
			return answer(a.Greeting)
		}
		return answer(Greeting{}.Encode())
	case Begin:
		return answer(Varint(0))
	case List:
		var b []byte
		for _, d := range q.Dirs {
			b = append(b, a.dir(d)...)
		}
		return answer(b)
	case Read:
		var b []byte
		for _, f := range q.Files {
			b = append(b, a.file(f)...)
		}
		return answer(b)
	case Fetch:
		return answer(a.pieces(q))
	case StreamStart:
		if _, ok := a.Streams[q.Name]; !ok {
			return failed(CodeStream, "there is no such stream")
		}
		for i, name := range a.names() {
			if name == q.Name {
				return answer(Varint(uint64(i)))
			}
		}
	case StreamNext:
		data := a.Streams[a.names()[q.Handle]][q.Offset:]
		if uint64(len(data)) > q.Most {
			return answer([]byte{0}, Text(data[:q.Most]))
		}
		return answer([]byte{1}, Text(data))
	case Hash:
		var b []byte
		for _, p := range q.Paths {
			f, _ := a.Tree.look(p)
			sum := blake3.Sum256([]byte(f.Data))
			b = Join(b, []byte{0}, f.Stat(0), sum[:])
		}
		return answer(b)
	case Inventory:
		return answer(Varint(0), Varint(0))
	}
	return answer()
}

func (a *Agent) names() (names []string) {
	for name := range a.Streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (a *Agent) dir(d Dir) []byte {
	if f := a.Dirs[d.Path]; f != nil {
		return f(d)
	}
	if f, ok := a.Tree.look(d.Path); !ok || f.Kind != Directory {
		return Join([]byte{Broke}, Varint(0), Varint(0), Error(CodeNotExist, "there is no such folder"))
	}
	return Listing(Last, a.Tree.list(d.Path)...)
}

func (a *Agent) file(q Ask) []byte {
	if f := a.Files[q.Path]; f != nil {
		return f(q)
	}
	return a.Tree.Content(q)
}

func (a *Agent) pieces(q *Question) (b []byte) {
	f, _ := a.Tree.look(q.Path)
	for i, p := range q.Pieces {
		if p.Offset+p.Length > int64(len(f.Data)) {
			b = append(b, Refused(i, CodeReplaced, "the file is shorter")...)
			continue
		}
		b = append(b, Data(i, f.Data[p.Offset:p.Offset+p.Length])...)
	}
	return b
}

// Greeting is what an agent says of itself. The zero value is a well one.
type Greeting struct {
	Version  uint64 // 0 means 1
	Machine  string
	Clock    int64  // seconds since 1970; 0 means now
	Requests uint64 // 0 means 512
	Roots    []byte // the encoded list; nil means none
}

// Encode encodes the answer to hello.
func (g Greeting) Encode() []byte {
	if g.Version == 0 {
		g.Version = 1
	}
	if g.Clock == 0 {
		g.Clock = time.Now().Unix()
	}
	if g.Requests == 0 {
		g.Requests = 512
	}
	if g.Roots == nil {
		g.Roots = Varint(0)
	}
	return Join(Varint(g.Version), Text("agenttest"), Signed(g.Clock), Varint(0), Text("host"), Text(g.Machine), Text("boot"), Text("kernel"), Text(""),
		Varint(0), Varint(g.Requests), g.Roots, Varint(0), Varint(0))
}

// Pad returns n bytes that compress to next to nothing.
func Pad(n int) []byte { return bytes.Repeat([]byte{0}, n) }
