package protocol

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// fuzz takes any bytes for a message: what is taken is put together again to the same bytes.
func fuzz(f *testing.F, name string) {
	c, ok := codecs()[name]
	if !ok {
		f.Fatalf("no message %q", name)
	}
	for _, b := range c.samples {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := c.recode(b)
		switch {
		case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion):
			t.Fatalf("%v is no ErrMalformed", err)
		case err == nil && c.open && !bytes.HasPrefix(b, got):
			t.Fatalf("%x became %x", b, got)
		case err == nil && !c.open && !bytes.Equal(got, b):
			t.Fatalf("%x became %x", b, got)
		}
	})
}

// What the agent parses.

func FuzzHelloRequest(f *testing.F) { fuzz(f, "hello request") }
func FuzzBeginRequest(f *testing.F) { fuzz(f, "begin request") }
func FuzzListRequest(f *testing.F)  { fuzz(f, "list request") }
func FuzzReadRequest(f *testing.F)  { fuzz(f, "read request") }
func FuzzFetchRequest(f *testing.F) { fuzz(f, "fetch request") }
func FuzzStreamStart(f *testing.F)  { fuzz(f, "stream start") }
func FuzzStreamNext(f *testing.F)   { fuzz(f, "stream next") }
func FuzzHashRequest(f *testing.F)  { fuzz(f, "hash request") }

// What the server parses.

func FuzzHelloAnswer(f *testing.F)     { fuzz(f, "hello answer") }
func FuzzBeginAnswer(f *testing.F)     { fuzz(f, "begin answer") }
func FuzzListAnswer(f *testing.F)      { fuzz(f, "list answer") }
func FuzzReadAnswer(f *testing.F)      { fuzz(f, "read answer") }
func FuzzStreamPiece(f *testing.F)     { fuzz(f, "stream piece") }
func FuzzHashAnswer(f *testing.F)      { fuzz(f, "hash answer") }
func FuzzInventoryAnswer(f *testing.F) { fuzz(f, "inventory answer") }
func FuzzError(f *testing.F)           { fuzz(f, "error") }

// What both parse.

func FuzzStreamHandle(f *testing.F) { fuzz(f, "stream handle") }

// FuzzFrames takes any bytes for a connection. Frames that were not compressed are written again as they came.
func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, c := range codecs() {
		for _, s := range c.samples {
			if err := w.Write(Frame{ID: uint32(len(s)), Type: Type(len(s)), More: len(s)%2 == 0, Payload: s}); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Add(b.Bytes())
	b.Reset()
	if err := w.Compress(); err != nil {
		f.Fatal(err)
	}
	if err := w.Write(Frame{ID: 5, Type: Read, Payload: make([]byte, 10_000)}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b), MaxQuestion)
		for {
			frame, err := r.Read()
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, ErrMalformed) {
					t.Fatalf("%v is no error of a frame", err)
				}
				return
			}
			if len(frame.Payload) > MaxQuestion {
				t.Fatalf("a payload of %d bytes", len(frame.Payload))
			}
			flags := b[9]
			size := len(frame.Payload)
			if flags&flagCompressed != 0 {
				size = int(b[0]) | int(b[1])<<8 | int(b[2])<<16
			} else {
				var again bytes.Buffer
				if err := NewWriter(&again).Write(frame); err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(b, again.Bytes()) {
					t.Fatalf("%x became %x", b[:min(64, len(b))], again.Bytes()[:min(64, again.Len())])
				}
			}
			b = b[headerSize+size:]
		}
	})
}
