package main

import (
	"context"
	"errors"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) scrubCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "scrub",
		GroupID: "keep",
		Short:   "Compare all files of the repository with their hashes, without a key",
		Long: `Read all files of the repository and compare them with the hashes in their names. No
passphrase or key is needed, so this works where the repository must not be opened:
on the server, or on a copy. What is missing it cannot tell; snap check can.`,
		Example: `  snap scrub
  snap scrub --repo /mnt/copy-of-the-repository`,
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE:        func(c *cobra.Command, _ []string) error { return a.scrub(c.Context()) },
	}
}

type scrubSummary struct {
	MessageType string   `json:"message_type"`
	NumErrors   int      `json:"num_errors"`
	Damaged     []string `json:"damaged"`
	Files       int64    `json:"files"`
	Bytes       int64    `json:"bytes"`
	Unverified  int64    `json:"files_without_hash"`
}

func (a *app) scrub(ctx context.Context) error {
	at, err := a.place()
	if err != nil {
		return err
	}
	store, err := a.openStore(ctx, at, a.global.asOf != "")
	if err != nil {
		return err
	}
	defer store.Close()
	p := &repo.CheckProgress{}
	stop := a.watch(func() progress.State { return checkState(p) }, func(s progress.State) any { return newStatus(s) })
	result, err := repo.Scrub(ctx, store, repo.ScrubOptions{Progress: p, WarmUp: a.warmUp(at.location)})
	stop()
	if result == nil || (err != nil && !errors.Is(err, repo.ErrDamagedFound)) {
		return err
	}
	a.damage(result.Damage, nil)
	if a.global.json {
		s := scrubSummary{MessageType: "summary", NumErrors: len(result.Damage), Damaged: []string{}, Files: result.Files, Bytes: result.Bytes, Unverified: result.Unverified}
		for _, d := range result.Damage {
			s.Damaged = append(s.Damaged, d.Name)
		}
		if err := a.jsonLine(s); err != nil {
			return err
		}
	} else if !a.global.quiet {
		a.printf("read %s, %s; %d of them have no hash in their names", term.Count(result.Files, "file"), term.Size(result.Bytes), result.Unverified)
		if len(result.Damage) == 0 {
			a.printf("no damage found")
		}
	}
	if err != nil {
		return fail(exitDamage, "%s damaged in the repository", term.Count(int64(len(result.Damage)), "file")).
			withHint("keep a copy of the repository as it is; then, where the key is: snap check, and snap repair --dry-run")
	}
	return nil
}
