package index

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/snapkeep/snap/pack"
)

// parts returns the tables as parts, with the packs that no known index file lists marked as dead, and those that fresh ones alone list
// as fresh.
func (c *Cache) parts() []*part {
	parts := make([]*part, len(c.tables))
	alive := c.listed(listKnown, func(name pack.ID) bool { return c.known[name] })
	old := alive
	if c.anyFresh() {
		old = c.listed(listOld, func(name pack.ID) bool { return c.known[name] && !c.fresh(name) })
	}
	for i, t := range c.tables {
		p := newTablePart(t.table)
		p.dead, p.fresh = alive[i].complement(p.packCount()), old[i].complement(p.packCount())
		parts[i] = p
	}
	return parts
}

// anyFresh reports whether a known index file is fresh.
func (c *Cache) anyFresh() bool {
	for name := range c.known {
		if c.fresh(name) {
			return true
		}
	}
	return false
}

// tidy merges tables that are many, and writes those again that are mostly dead. It reports
// whether a damaged table was dropped.
func (c *Cache) tidy() (damaged bool) {
	for {
		parts := c.parts()
		var group []*part
		for i, p := range parts {
			if 2*p.deadChunks() > p.chunks() || p.holdsNone() && !c.hasSource(c.tables[i].table) {
				group = append(group, p)
			}
		}
		if group == nil {
			group = mergeable(parts)
		}
		if group == nil {
			return false
		}
		var old []*cached
		for i, p := range parts {
			if slices.Contains(group, p) {
				old = append(old, c.tables[i])
			}
		}
		if c.merge(group, old) != nil {
			return c.dropDamaged(old)
		}
	}
}

// hasSource reports whether a live index file is among the sources of t.
func (c *Cache) hasSource(t *table) bool {
	for i := range int(t.counts.sources) {
		if name, _, _ := t.source(i); c.known[name] {
			return true
		}
	}
	return false
}

// merge puts one table in the place of several.
func (c *Cache) merge(group []*part, old []*cached) error {
	file := c.newSpool()
	defer file.drop()
	if err := mergeParts(file, group, func(name pack.ID) bool { return c.known[name] }); err != nil {
		return err
	}
	if err := c.adopt(file); err != nil {
		return err
	}
	c.forget(old)
	if last := c.tables[len(c.tables)-1]; last.counts.sources+last.counts.packs == 0 {
		c.forget([]*cached{last})
	}
	return nil
}

// dropDamaged drops the tables that do not match their checksum and reports whether there were any.
func (c *Cache) dropDamaged(tables []*cached) bool {
	var bad []*cached
	for _, t := range tables {
		if t.verify() != nil {
			bad = append(bad, t)
			if t.name != "" {
				_ = os.Remove(filepath.Join(c.dir, t.name))
			}
		}
	}
	c.forget(bad)
	return len(bad) > 0
}
