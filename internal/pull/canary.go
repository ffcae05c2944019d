package pull

import (
	"slices"
	"strings"

	"github.com/snapkeep/snap/repo"
)

// canaries notices files that nobody changes.
type canaries struct {
	unseen map[string]bool // paths without the leading slash
	paths  []string
	bad    []string
}

func newCanaries(paths []string) *canaries {
	c := &canaries{unseen: map[string]bool{}, paths: paths}
	for _, p := range paths {
		c.unseen[strings.TrimPrefix(p, "/")] = true
	}
	return c
}

// watch returns what is to be told of each file, nil if there are no canaries: then nobody has to look at each.
func (c *canaries) watch() func(repo.Item) {
	if len(c.paths) == 0 {
		return nil
	}
	return c.item
}

func (c *canaries) item(i repo.Item) {
	if c.unseen[i.Path] {
		delete(c.unseen, i.Path)
		if i.Action != repo.ItemUnchanged && i.Action != repo.ItemReread {
			c.bad = append(c.bad, "/"+i.Path)
		}
	}
}

// touched returns the canaries that changed, are new, or are gone. Of files that were all read again it is not known
// which have changed.
func (c *canaries) touched(all bool) []string {
	var out []string
	if !all {
		out = slices.Clone(c.bad)
	}
	for _, p := range c.paths {
		if c.unseen[strings.TrimPrefix(p, "/")] {
			out = append(out, p)
		}
	}
	return out
}
