package guard

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	usual := Limits{Shrink: 0.5, Changed: 0.3, Renamed: 0.5}
	before := Look{Files: 1000, Bytes: 1 << 30, New: 10, Changed: 20, Added: 50 << 20, Packed: 20 << 20, Machine: "m1", Mounts: map[string]string{"/srv": "ext4 /dev/sdb"}}
	beforePhotos := Look{Files: 1000, Bytes: 1 << 30, Added: 1 << 30, Packed: 1 << 30}
	tiny := Look{Files: 19, Bytes: 1 << 20, Machine: "m1"}
	mount := func(is string) func(*Look) { return func(l *Look) { l.Mounts = map[string]string{"/srv": is} } }
	with := func(change func(*Look)) Look {
		l := before
		change(&l)
		return l
	}
	tests := []struct {
		name  string
		now   Look
		first any // true: there was none before; a *Look: that one was
		l     Limits
		class Class
		says  string
	}{
		{"as usual", before, false, usual, None, ""},
		{"the first of all", before, true, usual, None, ""},
		{"nothing there", Look{Machine: "m1"}, true, usual, Missing, "no file"},
		{"nothing there, which is allowed", Look{}, true, Limits{Shrink: 0.5, Changed: 1, Renamed: 1, AllowEmpty: true}, None, ""},
		{"half of the files gone", with(func(l *Look) { l.Files = 499; l.New = 0 }), false, usual, Missing, "499 files, before 1000"},
		{"just not half", with(func(l *Look) { l.Files = 500; l.New = 0 }), false, usual, None, ""},
		{"nothing can be read", with(func(l *Look) { l.Unreadable = 1000 }), false, usual, Missing, "1000 of 1000 files cannot be read, before 0"},
		{"some cannot be read", with(func(l *Look) { l.Unreadable = 500 }), false, usual, None, ""},
		{"what never could be read", with(func(l *Look) { l.Unreadable = 900 }), &Look{Files: 1000, Bytes: 1 << 30, Unreadable: 900, Machine: "m1"}, usual, None, ""},
		{"bytes gone", with(func(l *Look) { l.Bytes = 1 << 28 }), false, usual, Missing, "bytes, before"},
		{"shrinking switched off", with(func(l *Look) { l.Files, l.Bytes = 1, 1 }), false, Limits{Shrink: 1, Changed: 1, Renamed: 1}, None, ""},
		{"another machine", with(func(l *Look) { l.Machine = "m2" }), false, usual, Missing, "another machine"},
		{"another machine, announced", with(func(l *Look) { l.Machine = "m2" }), false, Limits{Shrink: 0.5, Changed: 0.3, Renamed: 0.5, NewHost: true}, None, ""},
		{"file system not mounted", with(func(l *Look) { l.Mounts = map[string]string{"/srv": "ext4 /dev/sda"} }), false, usual, Missing, "not mounted"},
		{"encrypted in place", with(func(l *Look) { l.Changed, l.Added, l.Packed = 900, 900<<20, 905<<20 }), false, usual, Anomaly, "does not compress"},
		{"encrypted under other names", with(func(l *Look) { l.New, l.Added, l.Packed = 1000, 900<<20, 905<<20 }), false, usual, Anomaly, "renamed"},
		{"an update of everything, of text", with(func(l *Look) { l.Changed, l.Added, l.Packed = 900, 900<<20, 300<<20 }), false, usual, None, ""},
		{"many new photos", with(func(l *Look) { l.Files, l.New, l.Added, l.Packed = 2000, 1010, 900<<20, 900<<20 }), false, usual, None, ""},
		{"a canary touched", with(func(l *Look) { l.CanariesTouched = []string{"/srv/.canary"} }), false, usual, Anomaly, "/srv/.canary"},
		{"file system gone altogether", with(mount("")), false, usual, Missing, "nothing that keeps files, before on ext4 /dev/sdb"},
		{"mounts not known", with(func(l *Look) { l.Mounts = nil }), false, usual, None, ""},
		{"path no longer asked for", with(func(l *Look) { l.Mounts = map[string]string{"/etc": ""} }), false, usual, None, ""},
		{"file system mounted since", with(mount("ext4 /dev/sdb")), &Look{Files: 1000, Bytes: 1 << 30, Machine: "m1", Mounts: map[string]string{"/srv": ""}}, usual, None, ""},
		{"a machine without a name since", with(func(l *Look) { l.Machine = "" }), false, usual, Missing, "another machine"},
		{"a machine that has a name since", before, &Look{Files: 1000, Bytes: 1 << 30}, usual, None, ""},
		{"the first of all, with canaries touched", with(func(l *Look) { l.CanariesTouched = []string{"/x"} }), true, usual, Anomaly, "/x"},
		{"changed by less than allowed", with(func(l *Look) { l.Changed, l.Added, l.Packed = 290, 900<<20, 905<<20 }), false, usual, None, ""},
		{"changed, switched off", with(func(l *Look) { l.Changed, l.Added, l.Packed = 900, 900<<20, 905<<20 }), false, Limits{Shrink: 0.5, Changed: 1, Renamed: 0.5}, None, ""},
		{"renamed, switched off", with(func(l *Look) { l.New = 1000 }), false, Limits{Shrink: 0.5, Changed: 0.3, Renamed: 1}, None, ""},
		{"renamed, of text", with(func(l *Look) { l.New, l.Added, l.Packed = 1000, 900<<20, 300<<20 }), false, usual, Anomaly, "renamed"},
		{"half renamed", with(func(l *Look) { l.New = 500 }), false, usual, None, ""},
		{"few files changed", with(func(l *Look) { l.New, l.Changed, l.Added, l.Packed = 0, 49, 900<<20, 905<<20 }), &Look{Files: 60, Bytes: 1 << 30}, usual, None, ""},
		{"too few files to tell", Look{Files: 1, Bytes: 1, Machine: "m1"}, &tiny, usual, None, ""},
		{"photos encrypted in place", with(func(l *Look) { l.New, l.Changed, l.Added, l.Packed = 0, 900, 900<<20, 905<<20 }), &beforePhotos, usual, Anomaly, "does not compress"},
		{"other photos in place of old ones", with(func(l *Look) { l.New, l.Changed, l.Added, l.Packed = 400, 0, 400<<20, 400<<20 }), &beforePhotos, usual, None, ""},
		{"too little data to tell", with(func(l *Look) { l.Changed, l.Added, l.Packed = 900, 60<<10, 60<<10 }), false, usual, None, ""},
		{"small files encrypted", with(func(l *Look) { l.Changed, l.Added, l.Packed = 900, 70<<10, 71<<10 }), false, usual, Anomaly, "91 % of the files"},
		{"all at once", Look{CanariesTouched: []string{"/a", "/b"}}, false, usual, Anomaly, "no file was found; files that nobody changes were touched: /a, /b; 0 files, before 1000"},
		{"a small source emptied by half", Look{Files: 3, Bytes: 10}, false, Limits{Shrink: 0.5, Changed: 1, Renamed: 1, NewHost: true}, Missing, "3 files"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			last := &before
			switch x := test.first.(type) {
			case bool:
				if x {
					last = nil
				}
			case *Look:
				last = x
			}
			class, why := Worst(Check(&test.now, last, test.l))
			if class != test.class || !strings.Contains(why, test.says) {
				t.Errorf("class %d, %q; want %d, %q", class, why, test.class, test.says)
			}
		})
	}
}
