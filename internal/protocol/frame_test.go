package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
)

// frame returns the bytes of a frame, well formed or not.
func frame(size int, id uint32, t Type, flags byte, payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(size))
	b = append(binary.LittleEndian.AppendUint32(b, id), byte(t), flags)
	return append(b, payload...)
}

func TestFrameIsTheRecordedBytes(t *testing.T) {
	var b bytes.Buffer
	if err := NewWriter(&b).Write(Frame{ID: 0x01020304, Type: List | Answer, More: true, Payload: []byte("abc")}); err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(b.Bytes()), "03000000"+"04030201"+"83"+"02"+"616263"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	noise := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, compressed := range []bool{false, true} {
		var b bytes.Buffer
		w := NewWriter(&b)
		if compressed {
			if err := w.Compress(); err != nil {
				t.Fatal(err)
			}
		}
		sent := []Frame{{ID: 0, Type: Hello}, {ID: 1, Type: Read, Payload: []byte("short")}, {ID: 1<<32 - 1, Type: Failed, More: true, Payload: make([]byte, 5<<20)},
			{ID: 7, Type: Ping, Payload: noise}, {ID: 8, Type: Fetch, Payload: make([]byte, MaxPayload)}}
		total := 0
		for _, f := range sent {
			total += len(f.Payload)
			if err := w.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		if small := b.Len() < total/10; small != compressed {
			t.Errorf("compressed %v: %d bytes became %d", compressed, total, b.Len())
		}
		r := NewReader(iotest.HalfReader(&b), MaxPayload)
		for i, want := range sent {
			got, err := r.Read()
			if err != nil || got.ID != want.ID || got.Type != want.Type || got.More != want.More || !bytes.Equal(got.Payload, want.Payload) {
				t.Errorf("frame %d came as %d bytes of type %d, %v", i, len(got.Payload), got.Type, err)
			}
		}
		if _, err := r.Read(); err != io.EOF {
			t.Errorf("behind the last frame: %v", err)
		}
	}
	if err := NewWriter(io.Discard).Write(Frame{Payload: make([]byte, MaxPayload+1)}); err == nil {
		t.Error("a payload over the limit was written")
	}
}

// packed returns the payload of a compressed frame that claims to hold size bytes.
func packed(t *testing.T, raw []byte, claim uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := w.Compress(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Frame{Payload: raw}); err != nil {
		t.Fatal(err)
	}
	p := b.Bytes()[headerSize:]
	binary.LittleEndian.PutUint32(p, claim)
	return p
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	zeros := make([]byte, 4<<20)
	bomb := packed(t, zeros, 4<<20)
	more, less := packed(t, zeros, 4<<20+1), packed(t, zeros, 4<<20-1)
	huge := packed(t, make([]byte, MaxPayload), MaxPayload)
	for _, tt := range []struct {
		what  string
		limit int
		bytes []byte
		want  error // nil: it is one
	}{
		{"the largest question", MaxQuestion, frame(len(zeros), 1, Read, 0, zeros), nil},
		{"a question over the limit", MaxQuestion, frame(MaxQuestion+1, 1, Read, 0, nil), ErrMalformed},
		{"an answer over the limit", MaxPayload, frame(MaxPayload+1, 1, Read, 0, nil), ErrMalformed},
		{"the largest size", MaxPayload, frame(1<<32-1, 1, Read, 0, nil), ErrMalformed},
		{"an unknown flag", MaxPayload, frame(0, 1, Read, 4, nil), ErrMalformed},
		{"no bytes", MaxPayload, nil, io.EOF},
		{"a header that is cut", MaxPayload, frame(0, 1, Read, 0, nil)[:9], io.ErrUnexpectedEOF},
		{"no payload", MaxPayload, frame(5, 1, Read, 0, nil), io.ErrUnexpectedEOF},
		{"a payload that is cut", MaxPayload, frame(5, 1, Read, 0, []byte("abcd")), io.ErrUnexpectedEOF},
		{"a compressed payload", MaxQuestion, frame(len(bomb), 1, Read, flagCompressed, bomb), nil},
		{"one without a size", MaxQuestion, frame(3, 1, Read, flagCompressed, []byte("abc")), ErrMalformed},
		{"one that is larger than it claims", MaxPayload, frame(len(less), 1, Read, flagCompressed, less), ErrMalformed},
		{"one that is smaller than it claims", MaxPayload, frame(len(more), 1, Read, flagCompressed, more), ErrMalformed},
		{"one that unpacks to more than the limit", MaxQuestion, frame(len(huge), 1, Read, flagCompressed, huge), ErrMalformed},
		{"one with bytes behind it", MaxPayload, frame(len(bomb)+1, 1, Read, flagCompressed, append(slices.Clone(bomb), 0)), ErrMalformed},
		{"text", MaxPayload, []byte("Welcome to web1, last login: today\n"), ErrMalformed},
	} {
		_, err := NewReader(bytes.NewReader(tt.bytes), tt.limit).Read()
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
}

// TestFrameTakesMemoryAsBytesCome claims the largest frames and sends nothing of them.
func TestFrameTakesMemoryAsBytesCome(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		NewReader(bytes.NewReader(frame(MaxPayload, 1, Read, 0, []byte("some"))), MaxPayload).Read()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 256<<10 {
		t.Errorf("%d bytes were taken for a frame of which 4 bytes came", n)
	}
}

func TestWriterSaysThatItFailed(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	if err := NewWriter(w).Write(Frame{Type: Ping}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}
