package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/udiff"
	"github.com/snapkeep/snap/repo"
)

// maxDiffBytes bounds the files that are compared line by line.
const maxDiffBytes = 8 << 20

// contentDiff returns the lines that differ, or why there are none to show; empty if the content
// is the same or there is none.
func (d *differ) contentDiff(ctx context.Context, path string, c repo.Change) (string, error) {
	if c.Kind == repo.Metadata || !hasContent(c.A) && !hasContent(c.B) {
		return "", nil
	}
	a, okA, err := d.text(ctx, c.A)
	if err != nil {
		return "", err
	}
	b, okB, err := d.text(ctx, c.B)
	if err != nil {
		return "", err
	}
	if !okA || !okB {
		return "no text, or too long to compare line by line\n", nil
	}
	nameA, nameB := "a"+path, "b"+path
	if c.A == nil {
		nameA = "/dev/null"
	}
	if c.B == nil {
		nameB = "/dev/null"
	}
	return printableLines(udiff.Unified(term.Name(nameA), term.Name(nameB), a, b)), nil
}

func hasContent(x *repo.Entry) bool {
	return x != nil && (x.Kind == tree.Regular || x.Kind == tree.Symlink)
}

// text returns the content of a file, or the target of a link, if it is text.
func (d *differ) text(ctx context.Context, x *repo.Entry) (string, bool, error) {
	switch {
	case !hasContent(x):
		return "", true, nil
	case x.Kind == tree.Symlink:
		return x.Target, true, nil
	case x.Size > maxDiffBytes:
		return "", false, nil
	}
	if err := d.repo.WarmUpEntry(ctx, x); err != nil {
		return "", false, err
	}
	f, err := d.repo.OpenEntry(ctx, x)
	if err != nil {
		return "", false, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return "", false, err
	}
	return string(data), utf8.Valid(data) && !bytes.ContainsRune(data, 0), nil
}

// printableLines escapes what cannot be printed, tabs aside.
func printableLines(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, broken := strings.CutSuffix(line, "\n")
		for i, field := range strings.Split(line, "\t") {
			if i > 0 {
				out.WriteByte('\t')
			}
			out.WriteString(term.Line(field))
		}
		if broken {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// coloured colours the lines of a unified diff if results go to a terminal.
func (a *app) coloured(diff string) string {
	if !a.colours(a.stdout) {
		return diff
	}
	lines := strings.Split(diff, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "+"):
			lines[i] = term.Colour(line, term.Green, true)
		case strings.HasPrefix(line, "-"):
			lines[i] = term.Colour(line, term.Red, true)
		}
	}
	return strings.Join(lines, "\n")
}
