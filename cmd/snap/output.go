package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
)

// printf prints a line of a result. Names in it have to be made printable with term.Name.
func (a *app) printf(format string, args ...any) {
	a.mu.Lock()
	meter := a.meter
	a.mu.Unlock()
	meter.Print(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		fmt.Fprintf(a.out, format+"\n", args...)
		if meter != nil {
			a.out.Flush()
		}
	})
}

// notef prints what a person should know beside the result, unless --quiet.
func (a *app) notef(format string, args ...any) {
	if !a.global.quiet && !a.global.json {
		a.line(a.stderr, fmt.Sprintf(format, args...))
	}
}

// maxWarned bounds the messages that are remembered so that they are not printed again.
const maxWarned = 1000

// warn prints what is wrong but ends nothing, each message once.
func (a *app) warn(message string) {
	if a.saidBefore(message) {
		return
	}
	if a.global.json {
		a.jsonTo(a.stderr, struct {
			MessageType string `json:"message_type"`
			Message     string `json:"message"`
		}{"warning", message})
		return
	}
	label := term.Colour("warning:", term.Yellow, a.colours(a.stderr))
	a.lockedWrite(a.stderr, []byte(label+" "+term.Line(message)+"\n"))
}

func (a *app) saidBefore(message string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.warned[message] {
		return true
	}
	if a.warned == nil || len(a.warned) >= maxWarned {
		a.warned = map[string]bool{}
	}
	a.warned[message] = true
	return false
}

// line prints one line of text.
func (a *app) line(w io.Writer, text string) { a.lockedWrite(w, []byte(term.Line(text)+"\n")) }

// lockedWrite writes while no bar is on the screen.
func (a *app) lockedWrite(w io.Writer, p []byte) {
	a.mu.Lock()
	meter := a.meter
	a.mu.Unlock()
	meter.Print(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.out.Flush()
		w.Write(p)
	})
}

// jsonLine prints v as a line of JSON on standard output.
func (a *app) jsonLine(v any) error {
	encoded, err := encodeJSON(v)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err = a.out.Write(encoded)
	return err
}

// jsonNow prints like jsonLine, at once.
func (a *app) jsonNow(v any) error {
	if err := a.jsonLine(v); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.out.Flush()
}

func (a *app) jsonTo(w io.Writer, v any) {
	encoded, err := encodeJSON(v)
	if err != nil {
		encoded = []byte(`{"message_type":"exit_error","code":1,"message":"output cannot be encoded"}` + "\n")
	}
	a.lockedWrite(w, encoded)
}

// encodeJSON returns a line of JSON without a character that cannot be printed.
func encodeJSON(v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return append(term.JSON(encoded), '\n'), nil
}

// rawName returns the base64 of a name that is not UTF-8, which JSON cannot hold, and else "".
func rawName(name string) string {
	if utf8.ValidString(name) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(name))
}

// text returns names as strings.
func text[S ~string](names []S) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

// rawNames returns the base64 of all names if one of them is not UTF-8.
func rawNames[S ~string](names []S) []string {
	for _, n := range names {
		if !utf8.ValidString(string(n)) {
			out := make([]string, len(names))
			for i, n := range names {
				out[i] = base64.StdEncoding.EncodeToString([]byte(n))
			}
			return out
		}
	}
	return nil
}

// watch shows progress until the function that it returns is called.
func (a *app) watch(sample func() progress.State, status func(progress.State) any) (stop func()) {
	if a.global.quiet {
		return func() {}
	}
	tty := terminal(a.stderr) && a.getenv("TERM") != "dumb"
	var display progress.Display = &progress.Lines{Out: a.stderr}
	switch {
	case a.global.json:
		tty = terminal(a.stdout)
		display = &statusLines{app: a, status: status}
	case tty:
		display = &progress.Bar{Out: a.stderr, Width: func() int { return term.Width(a.stderr) }}
	}
	meter := progress.Start(display, progress.Interval(tty, a.getenv("SNAP_PROGRESS_FPS")), sample, nil)
	a.setMeter(meter)
	return func() {
		a.setMeter(nil)
		meter.Stop()
	}
}

func (a *app) setMeter(m *progress.Meter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meter = m
}

// statusLines draws progress as JSON.
type statusLines struct {
	app    *app
	status func(progress.State) any
}

// Draw implements progress.Display.
func (s *statusLines) Draw(state progress.State) { s.app.jsonNow(s.status(state)) }

// Clear implements progress.Display.
func (s *statusLines) Clear() {}

// statusMessage is the line of progress in JSON.
type statusMessage struct {
	MessageType      string   `json:"message_type"`
	SecondsElapsed   int64    `json:"seconds_elapsed"`
	SecondsRemaining int64    `json:"seconds_remaining,omitempty"`
	PercentDone      float64  `json:"percent_done"`
	TotalFiles       int64    `json:"total_files,omitempty"`
	FilesDone        int64    `json:"files_done,omitempty"`
	TotalBytes       int64    `json:"total_bytes,omitempty"`
	BytesDone        int64    `json:"bytes_done,omitempty"`
	ErrorCount       int64    `json:"error_count,omitempty"`
	CurrentFiles     []string `json:"current_files,omitempty"`
}

func newStatus(s progress.State) statusMessage {
	m := statusMessage{MessageType: "status", SecondsElapsed: int64(s.Elapsed.Seconds()), SecondsRemaining: int64(s.Remaining.Seconds()),
		TotalFiles: s.TotalFiles, FilesDone: s.Files, TotalBytes: s.Total, BytesDone: s.Done, ErrorCount: s.Problems}
	if p, ok := s.Percent(); ok {
		m.PercentDone = p / 100
	}
	if s.Current != "" {
		m.CurrentFiles = []string{s.Current}
	}
	return m
}

// logHandler prints the warnings of the library.
type logHandler struct {
	app   *app
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	message := r.Message
	add := func(at slog.Attr) bool {
		if at.Key == "error" {
			message += ": " + at.Value.String()
		} else {
			message += fmt.Sprintf(" (%s %s)", at.Key, at.Value)
		}
		return true
	}
	for _, at := range h.attrs {
		add(at)
	}
	r.Attrs(add)
	h.app.warn(message)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{app: h.app, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

// WithGroup implements slog.Handler; groups are not shown.
func (h *logHandler) WithGroup(string) slog.Handler { return h }
