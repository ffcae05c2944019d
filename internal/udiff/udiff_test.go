package udiff

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestUnified(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"equal", "a\nb\n", "a\nb\n", ""},
		{"both empty", "", "", ""},
		{"from nothing", "", "a\n", "--- A\n+++ B\n@@ -0,0 +1 @@\n+a\n"},
		{"to nothing", "a\nb\n", "", "--- A\n+++ B\n@@ -1,2 +0,0 @@\n-a\n-b\n"},
		{"changed line", "1\n2\n3\n4\n5\n", "1\n2\nx\n4\n5\n", "--- A\n+++ B\n@@ -1,5 +1,5 @@\n 1\n 2\n-3\n+x\n 4\n 5\n"},
		{"line break at the end", "a", "a\n", "--- A\n+++ B\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"two hunks", "x\n1\n2\n3\n4\n5\n6\n7\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\nY\n",
			"--- A\n+++ B\n@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-y\n+Y\n"},
		{"one hunk", "x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n",
			"--- A\n+++ B\n@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n"},
	} {
		if got := Unified("A", "B", c.a, c.b); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// apply makes b of a by edits.
func apply(a, b []string, edits []Edit) []string {
	var out []string
	at := 0
	for _, e := range edits {
		out = append(append(out, a[at:e.A.Low]...), b[e.B.Low:e.B.High]...)
		at = e.A.High
	}
	return append(out, a[at:]...)
}

// distance is the least number of lines to take out and put in, by the textbook's table.
func distance(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = diagonal
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

func cost(edits []Edit) (n int) {
	for _, e := range edits {
		n += e.A.High - e.A.Low + e.B.High - e.B.Low
	}
	return n
}

func check(t *testing.T, a, b []string) {
	t.Helper()
	edits := Compare(a, b)
	if got := strings.Join(apply(a, b, edits), ""); got != strings.Join(b, "") {
		t.Fatalf("%q to %q: edits %v make %q", a, b, edits, got)
	}
	if got, want := cost(edits), distance(a, b); got != want {
		t.Fatalf("%q to %q: edits %v touch %d lines, %d would do", a, b, edits, got, want)
	}
	for i := 1; i < len(edits); i++ {
		if edits[i].A.Low <= edits[i-1].A.High {
			t.Fatalf("%q to %q: edits %v are not apart", a, b, edits)
		}
	}
}

func TestCompareIsShortest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := func(n, of int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = string(rune('a' + random.IntN(of)))
		}
		return out
	}
	for range 3000 {
		of := 1 + random.IntN(5)
		check(t, letters(random.IntN(12), of), letters(random.IntN(12), of))
	}
	check(t, letters(300, 3), letters(250, 3))
}

func TestCompareOfVeryDifferentTextsEnds(t *testing.T) {
	a, b := make([]string, 30000), make([]string, 30000)
	for i := range a {
		a[i], b[i] = strings.Repeat("a", i%97)+"1", strings.Repeat("a", i%89)+"2"
	}
	edits := Compare(a, b)
	if len(edits) != 1 || cost(edits) != 60000 {
		t.Errorf("%d edits", len(edits))
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("a\nb\nc\n", "a\nc\n")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 200 || len(b) > 200 {
			return
		}
		check(t, strings.Split(a, ""), strings.Split(b, ""))
	})
}
