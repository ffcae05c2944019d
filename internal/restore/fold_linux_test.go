package restore

import (
	"fmt"
	"slices"
	"testing"
)

func TestFold(t *testing.T) {
	for _, same := range [][]string{{"a", "A"}, {"README", "ReadMe", "readme"}, {"Äö", "äÖ", "äö"}, {"ΣΑΣ", "σας", "ΣΑσ"}, {"\xffA", "\xffa"}, {"ß", "ẞ"}} {
		slices.Sort(same)
		for i, name := range same {
			if fold(name) != fold(same[0]) {
				t.Errorf("%q and %q: %q, %q", same[0], name, fold(same[0]), fold(name))
			}
			if i < len(same)-1 && fold(name) == name {
				t.Errorf("%q comes before %q and is its own fold", name, same[i+1])
			}
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"a", "ä"}, {"a.", "a"}, {"\xff", "\xfe"}, {"", "a"}} {
		if fold(pair[0]) == fold(pair[1]) {
			t.Errorf("%q and %q: %q", pair[0], pair[1], fold(pair[0]))
		}
	}
}

// Most targets tell case apart: nobody looks before there is a reason, and what is made to look is removed.
func TestNamesThatDifferInCaseOnly(t *testing.T) {
	from := t.TempDir()
	fileSpec{"A": "1", "a": "2", "B/x": "3", "b/x": "4", "ü": "5", "Ü": "6"}.make(t, from)
	b := newBench()
	o := b.options(b.save(t, from), from, t.TempDir())
	mustRun(t, o)
	sameTree(t, readTree(t, from), readTree(t, o.Target))
}

func TestNamesAreKeptUntilSomebodyLooks(t *testing.T) {
	r := &run{Options: Options{Target: t.TempDir()}.withDefaults(), selector: newSelector(nil, nil)}
	if err := r.openTarget(); err != nil {
		t.Fatal(err)
	}
	defer r.root.Close()
	top := r.newTop()
	for i := range twinsKept + 1 {
		if len(top.twins.names) != i || top.twins.differ {
			t.Fatalf("%d names are kept of %d", len(top.twins.names), i)
		}
		if other, found := r.twin(top, fmt.Sprintf("FILE%05d", i)); found {
			t.Fatalf("%q is another name of file %d", other, i)
		}
	}
	if !top.twins.differ || top.twins.names != nil || len(readTree(t, r.Target)) > 0 {
		t.Errorf("%d names are kept, and in the target are %q", len(top.twins.names), readTree(t, r.Target))
	}
	if _, found := r.twin(top, "file00001"); found {
		t.Error("names that the target tells apart are one")
	}
	// Another target takes them for one.
	r.root.Close()
	r.Target = t.TempDir()
	if err := r.openTarget(); err != nil {
		t.Fatal(err)
	}
	again := r.newTop()
	again.twins.folds = true
	r.twin(again, "A")
	r.twin(again, "lower")
	if other, found := r.twin(again, "a"); !found || other != "A" || len(again.twins.names) != 1 {
		t.Errorf("%q, %v, kept %q", other, found, again.twins.names)
	}
}
