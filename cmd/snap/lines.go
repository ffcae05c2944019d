package main

import (
	"bytes"
	"sync"
)

// lineWriter passes on what commands write to their standard error, line by line, printable,
// and as JSON if that was asked for.
type lineWriter struct {
	app *app

	mu   sync.Mutex // guards part
	part []byte
}

// maxLine bounds a line that is held until its end comes.
const maxLine = 4096

// Write implements io.Writer.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		w.part = append(w.part, line...)
		if ended || len(w.part) > maxLine {
			w.print()
		}
		p = rest
	}
	return n, nil
}

// print prints the line that has come together.
func (w *lineWriter) print() {
	line := string(w.part)
	w.part = w.part[:0]
	if w.app.global.json {
		w.app.jsonTo(w.app.stderr, struct {
			MessageType string `json:"message_type"`
			Line        string `json:"line"`
			LineB64     string `json:"line_b64,omitempty"`
		}{"command_output", line, rawName(line)})
		return
	}
	w.app.line(w.app.stderr, line)
}
