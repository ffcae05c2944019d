package main

//lint:file-ignore SA1019 the DOS date is what is tested here

import (
	"archive/zip"
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/tree"
)

// zipTimes are times, the DOS date that stands for each, and who can see it.
var zipTimes = []struct {
	time                  string
	dos                   string
	everywhere, somewhere bool
}{
	{"1500-01-01 00:00:00", "1980-01-01 00:00:00", false, false},
	{"1601-01-01 00:00:00", "1980-01-01 00:00:00", false, true},
	{"1901-12-14 00:00:00", "1980-01-01 00:00:00", false, true},
	{"1969-12-31 23:59:59", "1980-01-01 00:00:00", false, true},
	{"1970-01-01 00:00:00", "1980-01-01 00:00:00", true, true},
	{"1975-06-07 08:09:10", "1980-01-01 00:00:00", true, true},
	{"1979-12-31 23:59:59", "1980-01-01 00:00:00", true, true},
	{"1980-01-01 00:00:01", "1980-01-01 00:00:00", true, true},
	{"2026-07-01 10:11:13", "2026-07-01 10:11:12", true, true},
	{"2038-01-19 03:14:07", "2038-01-19 03:14:06", true, true},
	{"2038-01-19 03:14:08", "2038-01-19 03:14:08", true, true},
	{"2099-12-31 23:59:58", "2099-12-31 23:59:58", true, true},
	{"2100-03-01 00:00:00", "2100-03-01 00:00:00", false, true},
	{"2107-12-31 23:59:59", "2107-12-31 23:59:58", false, true},
	{"2108-01-01 00:00:00", "2107-12-31 23:59:58", false, true},
	{"9999-12-31 23:59:59", "2107-12-31 23:59:58", false, true},
}

func zipTime(t *testing.T, s string) tree.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, s)
	if err != nil {
		t.Fatal(err)
	}
	return tree.TimeOf(at)
}

func TestZipTimes(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, test := range zipTimes {
		h := &zip.FileHeader{Name: test.time}
		if everywhere, somewhere := setZipTime(h, zipTime(t, test.time), time.UTC); everywhere != test.everywhere || somewhere != test.somewhere {
			t.Errorf("%s: seen by all %v, by any %v", test.time, everywhere, somewhere)
		}
		if _, err := z.CreateHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, sec := range []int64{math.MinInt64, -1 << 62, 1 << 62, math.MaxInt64} {
		if everywhere, somewhere := setZipTime(&zip.FileHeader{}, tree.Time{Sec: sec}, time.UTC); everywhere || somewhere {
			t.Errorf("%d seconds can be held", sec)
		}
	}
	h := &zip.FileHeader{}
	if setZipTime(h, zipTime(t, "2026-07-01 10:11:12"), time.FixedZone("", 3600)); h.ModifiedTime>>11 != 11 {
		t.Errorf("the DOS date is of hour %d, want that of the zone", h.ModifiedTime>>11)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range r.File {
		d, c := f.ModifiedDate, f.ModifiedTime
		dos := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", 1980+d>>9, d>>5&15, d&31, c>>11, c>>5&63, c&31*2)
		if dos != zipTimes[i].dos {
			t.Errorf("%s: DOS date %s, want %s", f.Name, dos, zipTimes[i].dos)
		}
		if year := f.Name[:4]; zipTimes[i].somewhere && year >= "1900" && year < "2200" { // what the library can tell
			if got := f.Modified.UTC().Format(time.DateTime); got != f.Name {
				t.Errorf("%s is read as %s", f.Name, got)
			}
		}
	}
}

// TestUnzipShowsTheTimesOfADump looks at the times that snap warns of nobody about with the programs that people use.
func TestUnzipShowsTheTimesOfADump(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"HOME": dir + "/home"}
	if err := os.MkdirAll(dir+"/files", 0o755); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, test := range zipTimes {
		name := strings.ReplaceAll(test.time, " ", "_")
		at := zipTime(t, test.time)
		write(t, dir+"/files/"+name, name)
		if err := os.Chtimes(dir+"/files/"+name, at.Std(), at.Std()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(dir + "/files/" + name); err != nil || info.ModTime().Unix() != at.Sec {
			continue // this file system cannot hold it
		}
		want[name] = test.everywhere
	}
	if code, _, stderr := call(t, env, "backup", dir+"/files"); code != 0 {
		t.Fatal(stderr)
	}
	code, _, stderr := call(t, env, "dump", "--archive", "zip", "--target", dir+"/files.zip", "latest", dir+"/files")
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	for name, everywhere := range want {
		if told := strings.Contains(stderr, name); told == everywhere {
			t.Errorf("%s: told %v:\n%s", name, told, stderr)
		}
	}
	for _, program := range [][]string{{"unzip", "-q", dir + "/files.zip"}, {"bsdtar", "-xf", dir + "/files.zip"}, {"7z", "x", "-y", dir + "/files.zip"}} {
		t.Run(program[0], func(t *testing.T) {
			if _, err := exec.LookPath(program[0]); err != nil {
				t.Skip(err)
			}
			out := t.TempDir()
			c := exec.Command(program[0], program[1:]...)
			c.Dir = out
			if said, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			for name, everywhere := range want {
				info, err := os.Lstat(out + "/" + name)
				if err != nil {
					t.Error(err)
				} else if got := info.ModTime().UTC().Format("2006-01-02_15:04:05"); everywhere && got != name {
					t.Errorf("%s is shown as %s", name, got)
				}
			}
		})
	}
}
