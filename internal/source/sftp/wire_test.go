package sftp

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sftptest"
)

func TestLinkedReadsTheSecondField(t *testing.T) {
	for line, want := range map[string]bool{
		"-rw-r--r--    1 root     root          5 Jan  1 10:00 name": false,
		"-rw-r--r--    2 root     root          5 Jan  1 10:00 name": true,
		"-rw-r--r--   17 root     root          5 Jan  1 10:00 name": true,
		"-rw-r--r--    0 root     root          5 Jan  1 10:00 name": false,
		"-rw-r--r--    ? root     root          5 Jan  1 10:00 name": false,
		"name": false, "": false, "   ": false, "x 1": false, "x 2": true,
	} {
		if got := linked([]byte(line)); got != want {
			t.Errorf("%q: got %v, want %v", line, got, want)
		}
	}
}

func TestOwnerNamesArePlain(t *testing.T) {
	for name, want := range map[string]string{"root": "root", "müller": "müller", "a\x1bb": "", "a:b": "", "\xff": "", "a\nb": ""} {
		if got := ownerName([]byte(name)); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestRequestsAreReadAsTheyAreMeant(t *testing.T) {
	server := &sftptest.Server{Tree: sftptest.Tree{"/f": {Mode: 0o100644, Data: "0123456789"}}}
	here, there := pipes()
	done := make(chan struct{})
	go func() {
		server.Serve(there)
		close(done)
	}()
	s, err := New(nil, Options{Roots: []string{"/"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := newClient(t.Context(), s, here)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.readLimits(t.Context()); err != nil || c.readLength != largeRead || c.handles != 100 {
		t.Errorf("%v: reads of %d, %d handles", err, c.readLength, c.handles)
	}
	h, err := c.start(openRequest("/f"), nil).handle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	n, err := c.start(readRequest(h, 3, 4), buf).data(t.Context())
	if string(buf[:n]) != "3456" || err != nil {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	if _, err := c.start(readRequest(h, 10, 4), buf).data(t.Context()); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	a, err := c.start(pathRequest(fxpLstat, "/f"), nil).attrs(t.Context())
	if st, bad := a.stat("f"); err != nil || bad != nil || st.Size != 10 || st.Mode != 0o644 || st.ModTime.Sec != 1_000_000_000 {
		t.Errorf("%v %v %+v", err, bad, st)
	}
	c.close()
	<-done
}

// pipes returns both ends of a connection.
func pipes() (a, b io.ReadWriteCloser) {
	type end struct {
		io.Reader
		io.WriteCloser
	}
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return end{r1, w2}, end{r2, w1}
}

// script is a connection on which the server says what it says, whatever it is asked.
type script struct{ io.Reader }

func (script) Write(p []byte) (int, error) { return len(p), nil }
func (script) Close() error                { return nil }

// after is a reader that is at its end once the channel is closed.
type after chan struct{}

func (a after) Read([]byte) (int, error) {
	<-a
	return 0, io.EOF
}

// FuzzAnswers feeds a client whatever a server may send, while questions of every kind wait for answers. All of them end.
func FuzzAnswers(f *testing.F) {
	file := sftptest.File{Mode: 0o100644, Size: 5}
	for _, seed := range [][]byte{
		nil,
		sftptest.New(sftptest.Name, 1, sftptest.U32(1<<31)),
		sftptest.Names(1, sftptest.Entry{Name: "a", File: file}, sftptest.Entry{Name: "..", File: file}),
		sftptest.New(sftptest.Handle, 2, sftptest.Text("h")),
		sftptest.New(sftptest.Data, 3, sftptest.Text("data")),
		sftptest.New(sftptest.Attrs, 4, file.Encode()),
		append(sftptest.StatusOf(2, sftptest.EOF), sftptest.StatusOf(1, sftptest.Denied)...),
		sftptest.New(sftptest.ExtendedReply, 5, make([]byte, 88)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answers []byte) {
		s, err := New(nil, Options{Roots: []string{"/"}, Limits: Limits{Idle: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hello := sftptest.New(sftptest.Version, 3)
		asked := make(chan struct{})
		c, err := newClient(t.Context(), s, script{io.MultiReader(bytes.NewReader(hello), after(asked), bytes.NewReader(answers))})
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		ctx := context.Background()
		calls := []*call{c.start(pathRequest(fxpReaddir, "h"), nil), c.start(openRequest("p"), nil), c.start(readRequest("h", 0, 8), make([]byte, 8)),
			c.start(pathRequest(fxpLstat, "p"), nil), c.start(newRequest(fxpExtended).text("statvfs@openssh.com").text("p"), nil)}
		close(asked)
		if d, err := calls[0].expect(ctx, fxpName); err == nil {
			if all, err := names(d.rest); err == nil {
				for i := range all {
					_, _ = all[i].attrs.stat(string(all[i].name))
					linked(all[i].long)
				}
			}
		}
		if h, err := calls[1].handle(ctx); err == nil && len(h) > maxHandle {
			t.Errorf("a handle of %d bytes", len(h))
		}
		if n, err := calls[2].data(ctx); n > 8 || n == 0 && err == nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_, _ = calls[3].attrs(ctx)
		_, _ = calls[4].fileSystem(ctx)
	})
}
