package repo

import "testing"

// TestListingThatCameByTheIndexTooEarly tells a listing that shows all index files of a snapshot from one that does not.
func TestListingThatCameByTheIndexTooEarly(t *testing.T) {
	l := &shown{prefixes: []string{"index/", "prune/"}, files: []shownFile{{name: "index/aa"}, {name: "index/cc"}, {name: "prune/bb"}}}
	for _, tt := range []struct {
		names []string
		want  bool
	}{
		{nil, true}, {[]string{"aa"}, true}, {[]string{"cc", "aa"}, true}, {[]string{"bb"}, false}, {[]string{"aa", "dd"}, false},
	} {
		if got := l.showsIndexes(&Snapshot{Index: tt.names}); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.names, got, tt.want)
		}
	}
	if !l.showsIndexes(nil) {
		t.Error("no parent needs an index file")
	}
	if !l.covers("prune/", "index/") || l.covers("index/", "data/") {
		t.Error("what was listed is mistaken")
	}
}
