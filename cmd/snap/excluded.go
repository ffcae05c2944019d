package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
)

type excludedItem struct {
	MessageType string `json:"message_type"`
	Item        string `json:"item"`
	ItemB64     string `json:"item_b64,omitempty"`
	Reason      string `json:"reason"`
}

// tellExcluded makes the source tell of each file that is left out by a pattern or for its size. The
// patterns are then matched with whole paths, which is slower.
func (a *app) tellExcluded(o *local.Options) {
	lists, largest := o.Exclude, o.ExcludeLargerThan
	reason := func(path string, size int64) string {
		for _, l := range lists {
			if matched, _ := l.MatchPath(path); matched {
				return "pattern"
			}
		}
		if largest > 0 && size > largest {
			return "size"
		}
		return ""
	}
	o.Exclude, o.ExcludeLargerThan = nil, 0
	o.ExcludeFunc = func(path string, st *tree.Stat) bool {
		size := int64(0)
		if st.Kind == tree.Regular {
			size = st.Size
		}
		why := reason(path, size)
		if why != "" {
			a.excluded(path, why)
		}
		return why != ""
	}
}

// warnOfExcluded warns of each root that a pattern matches and that is a folder: patterns hold for what
// lies in it, so that nothing of that is saved but what another pattern takes out again.
func (a *app) warnOfExcluded(paths []string, lists []*filter.List) {
	roots, err := absolute(paths)
	if err != nil {
		return // the source says the same
	}
	for _, root := range roots {
		matches := func(l *filter.List) bool { matched, _ := l.MatchPath(root); return matched }
		if info, err := os.Lstat(root); err == nil && info.IsDir() && slices.ContainsFunc(lists, matches) {
			a.warn(fmt.Sprintf("an exclude pattern matches %s: the folder is saved, but not what lies in it", term.Name(root)))
		}
	}
}

func (a *app) excluded(path, why string) {
	if a.global.json {
		a.jsonLine(excludedItem{"excluded_item", path, rawName(path), why})
		return
	}
	a.printf("excluded  %s (%s)", term.Name(path), why)
}
