package term

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain name", "plain name"},
		{"größe 日本", "größe 日本"},
		{`back\slash`, `back\slash`},
		{`"quoted"`, `"\"quoted\""`},
		{"a\nb", `"a\nb"`},
		{"\x1b[31m", `"\x1b[31m"`},
		{"\xff\xfe", `"\xff\xfe"`},
		{"a\x7f", `"a\x7f"`},
		{"c1\u009b", `"c1\u009b"`},
		{"turn\u202e", `"turn\u202e"`},
		{"", ""},
	} {
		if got := Name(c.in); got != c.want {
			t.Errorf("Name(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"open /a: no such file", "open /a: no such file"},
		{"one\ntwo\n", "one; two"},
		{"open /a\x1b[2J\r: \xff", `open /a\x1b[2J\r: \xff`},
		{"replacement \uFFFD stays", "replacement \uFFFD stays"},
	} {
		if got := Line(c.in); got != c.want {
			t.Errorf("Line(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "a", "\x00\x1f\x7f", "\u0080\u009f\u00ad\u200b\u202e\ufeff", "\xff", "\U000E0001", `"`, "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(encoded)
		for _, out := range []string{Name(s), Line(s), string(safe)} {
			if !printable(out) {
				t.Errorf("%q became %q", s, out)
			}
		}
		var back string
		if err := json.Unmarshal(safe, &back); err != nil || (utf8.ValidString(s) && back != s) {
			t.Errorf("%q became %s, which reads as %q, %v", s, safe, back, err)
		}
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.000 KiB", 1536: "1.500 KiB", 5 << 30: "5.000 GiB", -2048: "-2.000 KiB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"5": 5 << 10, "5B": 5, "5k": 5 << 10, "1.5M": 3 << 19, "2 GiB": 2 << 30, "1TB": 1 << 40, "0": 0, "16mib": 16 << 20} {
		got, err := ParseSize(s, 1<<10)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "M", "-1", "1x", "1 2", "NaN", "9999999T", "1e300T", "inf"} {
		if got, err := ParseSize(s, 1); !errors.Is(err, ErrSize) {
			t.Errorf("ParseSize(%q) = %d, %v", s, got, err)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0:00", 65 * time.Second: "1:05", 2*time.Hour + 3*time.Second: "2:00:03"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("ID", ">Size", "Paths")
	table.Row("a1", "5 B", "/home\n/etc")
	table.Row("b2345", "1.000 KiB", "/x\x1b[0m")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"ID          Size  Paths",
		"-----  ---------  ---------",
		"a1           5 B  /home",
		"                  /etc",
		`b2345  1.000 KiB  /x\x1b[0m`,
		"",
	}, "\n")
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n          int64
		word, want string
	}{{0, "file", "0 files"}, {1, "file", "1 file"}, {-1, "file", "-1 files"}, {1, "file or folder", "1 file or folder"}, {2, "file or folder", "2 files or folders"}} {
		if got := Count(c.n, c.word); got != c.want {
			t.Errorf("Count(%d, %q) is %q, want %q", c.n, c.word, got, c.want)
		}
	}
}
