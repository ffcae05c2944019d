package progress

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/term"
)

// Bar draws on one line of a terminal.
type Bar struct {
	Out   io.Writer
	Width func() int // columns of the terminal
	drawn bool
}

// Draw implements Display.
func (b *Bar) Draw(s State) {
	width := b.Width() - 1
	text := describe(&s)
	if p, ok := s.Percent(); ok {
		text = bar(p, min(20, width/4)) + " " + text
	}
	if s.Current != "" {
		text += "  " + term.Name(s.Current)
	}
	fmt.Fprintf(b.Out, "\r\x1b[K%s", cut(text, width))
	b.drawn = true
}

// Clear implements Display.
func (b *Bar) Clear() {
	if b.drawn {
		io.WriteString(b.Out, "\r\x1b[K")
		b.drawn = false
	}
}

func bar(percent float64, width int) string {
	n := int(percent / 100 * float64(width))
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", width-n) + "]"
}

// cut shortens text to so many characters.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

// Lines writes a line for each state, for pipes and log files.
type Lines struct {
	Out io.Writer
}

// Draw implements Display.
func (l *Lines) Draw(s State) { fmt.Fprintln(l.Out, describe(&s)) }

// Clear implements Display.
func (l *Lines) Clear() {}

// describe returns a state in words.
func describe(s *State) string {
	var parts []string
	if p, ok := s.Percent(); ok {
		about := ""
		if s.TotalIsOnlyAnEstimate {
			about = "about "
		}
		parts = append(parts, fmt.Sprintf("%s%.1f %%", about, p))
	}
	if s.Files > 0 || s.TotalFiles > 0 {
		parts = append(parts, of(s.Files, s.TotalFiles, "file"))
	}
	parts = append(parts, amount(s))
	if s.Problems > 0 {
		parts = append(parts, term.Count(s.Problems, "problem"))
	}
	if s.RemainingKnown {
		parts = append(parts, term.Duration(s.Remaining)+" left")
	}
	return "[" + term.Duration(s.Elapsed) + "] " + strings.Join(parts, ", ")
}

func of(n, total int64, word string) string {
	if total <= 0 {
		return term.Count(n, word)
	}
	return fmt.Sprintf("%d of %s", n, term.Count(total, word))
}

func amount(s *State) string {
	if s.CountsNoBytes {
		return of(s.Done, s.Total, "item")
	}
	text := term.Size(s.Done)
	if s.Total > 0 {
		text += " of " + term.Size(s.Total)
	}
	return text + ", " + term.Size(int64(s.Rate)) + "/s"
}
