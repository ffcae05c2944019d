package main

import (
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) pinCommand() *cobra.Command {
	return a.pinning("pin", "Keep snapshots whatever the rules say", &tagFlags{pin: true},
		"Pin snapshots: no rule of snap forget removes them until they are unpinned.")
}

func (a *app) unpinCommand() *cobra.Command {
	return a.pinning("unpin", "Let the rules decide about snapshots again", &tagFlags{unpin: true},
		"Unpin snapshots, so that the rules of snap forget decide about them again.")
}

func (a *app) pinning(name, short string, f *tagFlags, long string) *cobra.Command {
	return &cobra.Command{
		Use:         name + " SNAPSHOT...",
		GroupID:     "make",
		Short:       short,
		Long:        long,
		Example:     "  snap " + name + " latest\n  snap " + name + " 2f9a61c0 2026-03-10",
		Args:        between(1, -1, "at least one snapshot"),
		Annotations: safe("no data was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.tag(c.Context(), r, args, f) })
		},
	}
}
