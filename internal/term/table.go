package term

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table collects rows and prints them in columns. Cells are made printable.
type Table struct {
	head []string
	rows [][]string
}

// NewTable returns a table with the headings of its columns. A heading that begins with >
// makes its column stand to the right.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a row, one cell a column. Line breaks in a cell begin a new line of the row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write prints the table, two spaces between its columns.
func (t *Table) Write(w io.Writer) error {
	right := make([]bool, len(t.head))
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i], right[i] = strings.CutPrefix(h, ">")
	}
	lines := [][]string{head, nil}
	for _, row := range t.rows {
		lines = append(lines, split(row, len(head))...)
	}
	widths := make([]int, len(head))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines[1] = rule(widths)
	var b strings.Builder
	for _, line := range lines {
		writeLine(&b, line, widths, right)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// split makes the lines of a row.
func split(row []string, columns int) (lines [][]string) {
	for i, cell := range row[:min(len(row), columns)] {
		for k, text := range strings.Split(cell, "\n") {
			if k == len(lines) {
				lines = append(lines, make([]string, columns))
			}
			lines[k][i] = Line(text)
		}
	}
	return lines
}

func rule(widths []int) []string {
	line := make([]string, len(widths))
	for i, n := range widths {
		line[i] = strings.Repeat("-", n)
	}
	return line
}

func writeLine(b *strings.Builder, cells []string, widths []int, right []bool) {
	var line strings.Builder
	for i, cell := range cells {
		if i > 0 {
			line.WriteString("  ")
		}
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if right[i] {
			cell, space = space+cell, ""
		}
		line.WriteString(cell + space)
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}
