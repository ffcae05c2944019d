package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

func (a *app) cacheCommand() *cobra.Command {
	var cleanup bool
	var maxAge uint
	c := &cobra.Command{
		Use:     "cache",
		GroupID: "keep",
		Short:   "List and remove what this machine keeps of repositories",
		Long: `List what this machine keeps of repositories, one folder each: the index in its local
form, and metadata of stores elsewhere, encrypted as it is stored.

All of it may be deleted at any time, also while snap runs. The next run reads from
the store again what it needs.`,
		Example: `  snap cache
  snap cache --cleanup
  snap cache --cleanup --max-age 0`,
		Args:        between(0, 0, ""),
		Annotations: safe("no repository was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			if cleanup {
				return a.cleanCaches(time.Duration(maxAge) * 24 * time.Hour)
			}
			return a.listCaches()
		},
	}
	c.Flags().BoolVar(&cleanup, "cleanup", false, "remove what was not used for long")
	c.Flags().UintVar(&maxAge, "max-age", 30, "with --cleanup: for how many `days`")
	return c
}

// repoCache is what this machine keeps of a repository.
type repoCache struct {
	ID    string    `json:"id"`
	Bytes int64     `json:"size"`
	Used  time.Time `json:"last_used"` // the last time that something was kept or found to be of use
	path  string
}

// repoIDDigits is the length of the names of folders with the cache of a repository.
const repoIDDigits = 32

// caches returns what the folder for caches holds, what was used last in front.
func (a *app) caches() ([]repoCache, error) {
	dir := a.cacheDir()
	if dir == "" {
		return nil, usageError("there is no folder for caches: use --cache-dir")
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := []repoCache{}
	for _, e := range entries {
		if e.IsDir() && len(e.Name()) == repoIDDigits && strings.Trim(e.Name(), "0123456789abcdef") == "" {
			all = append(all, lookAtCache(filepath.Join(dir, e.Name())))
		}
	}
	slices.SortFunc(all, func(a, b repoCache) int { return b.Used.Compare(a.Used) })
	return all, nil
}

func lookAtCache(path string) repoCache {
	c := repoCache{ID: filepath.Base(path), path: path}
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // somebody may remove it meanwhile
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		if info.Mode().IsRegular() {
			c.Bytes += info.Size()
		}
		if info.ModTime().After(c.Used) {
			c.Used = info.ModTime()
		}
		return nil
	})
	return c
}

func (a *app) listCaches() error {
	all, err := a.caches()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.jsonLine(all)
	}
	table := term.NewTable("Repository", "Last used", ">Size")
	for _, c := range all {
		table.Row(c.ID, c.Used.Local().Format(time.DateTime), term.Size(c.Bytes))
	}
	if err := table.Write(a.out); err != nil {
		return err
	}
	a.printf("%s in %s", plural(len(all), "repository", "repositories"), term.Name(a.cacheDir()))
	return nil
}

func (a *app) cleanCaches(maxAge time.Duration) error {
	all, err := a.caches()
	if err != nil {
		return err
	}
	removed := []repoCache{}
	for _, c := range all {
		if time.Since(c.Used) < maxAge {
			continue
		}
		if err := os.RemoveAll(c.path); err != nil {
			return err
		}
		removed = append(removed, c)
	}
	if a.global.json {
		return a.jsonLine(removed)
	}
	for _, c := range removed {
		a.printf("removed %s of repository %s", term.Size(c.Bytes), c.ID)
	}
	if len(removed) == 0 {
		a.printf("nothing to remove")
	}
	return nil
}
