package main

import (
	"context"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type tagFlags struct {
	sel              selection
	set, add, remove []string
	pin, unpin       bool
}

func (a *app) tagCommand() *cobra.Command {
	var f tagFlags
	c := &cobra.Command{
		Use:     "tag [SNAPSHOT...]",
		GroupID: "make",
		Short:   "Change the tags of snapshots, or pin them",
		Long: `Change the tags of snapshots. A pinned snapshot is never forgotten by a rule.

Without a snapshot all that the flags select are changed.`,
		Example: `  snap tag --add before-upgrade latest
  snap tag --set '' 2f9a
  snap tag --remove daily --host web1
  snap tag --pin latest`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("no data was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.tag(c.Context(), r, args, &f) })
		},
	}
	c.Flags().StringArrayVar(&f.set, "set", nil, "replace all tags by `tag[,tag...]` (repeatable)")
	c.Flags().StringArrayVar(&f.add, "add", nil, "add `tag[,tag...]` (repeatable)")
	c.Flags().StringArrayVar(&f.remove, "remove", nil, "remove `tag[,tag...]` (repeatable)")
	c.Flags().BoolVar(&f.pin, "pin", false, "keep the snapshots whatever the rules of forget say")
	c.Flags().BoolVar(&f.unpin, "unpin", false, "undo --pin")
	f.sel.register(c.Flags())
	return c
}

func (f *tagFlags) lists() (set, add, remove []string) {
	split := func(lists []string) (tags []string) {
		for _, l := range lists {
			tags = append(tags, splitTags(l)...)
		}
		return tags
	}
	if set = split(f.set); set == nil && f.set != nil {
		set = []string{}
	}
	return set, split(f.add), split(f.remove)
}

func (a *app) tag(ctx context.Context, r *repo.Repo, words []string, f *tagFlags) error {
	set, add, remove := f.lists()
	retag := set != nil || len(add)+len(remove) > 0
	switch {
	case !retag && !f.pin && !f.unpin:
		return usageError("nothing to change").withHint("give --set, --add, --remove, --pin or --unpin")
	case set != nil && len(add)+len(remove) > 0:
		return usageError("--set excludes --add and --remove")
	case f.pin && f.unpin:
		return usageError("--pin and --unpin exclude each other")
	}
	all, err := a.some(ctx, r, words, f.sel.filter())
	if err != nil {
		return err
	}
	for _, s := range all {
		if retag {
			if err := r.Tag(ctx, s, set, add, remove); err != nil {
				return err
			}
		}
		if f.pin || f.unpin {
			if err := r.Pin(ctx, s, f.pin); err != nil {
				return err
			}
		}
	}
	if a.global.json {
		return a.jsonLine(struct {
			MessageType string `json:"message_type"`
			Changed     int    `json:"changed_snapshots"`
		}{"summary", len(all)})
	}
	a.printf("changed %s", term.Count(int64(len(all)), "snapshot"))
	return nil
}
