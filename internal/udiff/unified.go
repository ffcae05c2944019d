package udiff

import (
	"fmt"
	"strings"
)

// context is how many equal lines are shown around an edit.
const context = 3

// Unified returns the differences of two texts as a unified diff, empty if there are none.
func Unified(nameA, nameB, a, b string) string {
	linesA, linesB := Lines(a), Lines(b)
	edits := Compare(linesA, linesB)
	if len(edits) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", nameA, nameB)
	for len(edits) > 0 {
		n := 1
		for n < len(edits) && edits[n].A.Low-edits[n-1].A.High <= 2*context {
			n++
		}
		writeHunk(&out, linesA, linesB, edits[:n])
		edits = edits[n:]
	}
	return out.String()
}

// writeHunk writes edits that lie close together, with the lines around them.
func writeHunk(out *strings.Builder, a, b []string, edits []Edit) {
	first, last := edits[0], edits[len(edits)-1]
	before := min(context, first.A.Low)
	after := min(context, len(a)-last.A.High)
	spanA := Span{first.A.Low - before, last.A.High + after}
	spanB := Span{first.B.Low - before, last.B.High + after}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", position(spanA), position(spanB))
	at := spanA.Low
	for _, e := range edits {
		writeLines(out, ' ', a[at:e.A.Low])
		writeLines(out, '-', a[e.A.Low:e.A.High])
		writeLines(out, '+', b[e.B.Low:e.B.High])
		at = e.A.High
	}
	writeLines(out, ' ', a[at:spanA.High])
}

// position returns a span as hunks have it; an empty one names the line before it.
func position(s Span) string {
	switch n := s.High - s.Low; n {
	case 0:
		return fmt.Sprintf("%d,0", s.Low)
	case 1:
		return fmt.Sprint(s.Low + 1)
	default:
		return fmt.Sprintf("%d,%d", s.Low+1, n)
	}
}

func writeLines(out *strings.Builder, sign byte, lines []string) {
	for _, l := range lines {
		out.WriteByte(sign)
		out.WriteString(l)
		if !strings.HasSuffix(l, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
