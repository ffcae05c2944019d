package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) replicateCommand() *cobra.Command {
	var from fromFlags
	var dryRun, noKey bool
	c := &cobra.Command{
		Use:     "replicate --from-repo REPO",
		GroupID: "make",
		Short:   "Pull a second copy of a repository as it is",
		Long: `Pull the snapshots of a repository to a second site, without opening file data, and keep
them there by rules of its own. Run it on the second site, which only needs to read the
first; several sites may do so.

Each pack is checked against the hash that is its name before it is accepted. Nothing
that the first site forgets, prunes or loses goes away here, and what was forgotten here
does not come back. The first run makes the replica. The key is the one of the
repository: that of a writer will do.

With --no-key no key is needed, and none is asked for: everything is pulled that was
not, and nothing is ever removed here.`,
		Example: `  snap replicate --repo /srv/second --from-repo sftp://reader@first/srv/backup --password-file ~/writer
  snap replicate --repo /srv/vault --from-repo s3:https://s3.example.com/backup --no-key`,
		Args:        noArgs,
		Annotations: safe("the first site was not changed, and what was pulled so far is used by the next run"),
		RunE:        func(c *cobra.Command, _ []string) error { return a.replicate(c.Context(), &from, dryRun, noKey) },
	}
	from.registerPlace(c.Flags(), "`place` of the first site")
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "tell how many snapshots would be pulled")
	c.Flags().BoolVar(&noKey, "no-key", false, "pull everything, without a key")
	return c
}

func (a *app) replicate(ctx context.Context, f *fromFlags, dryRun, noKey bool) error {
	fromPlace, err := f.place(a)
	if err != nil {
		return err
	}
	from, err := a.openStore(ctx, fromPlace, false)
	if err != nil {
		return err
	}
	defer from.Close()
	at, err := a.place()
	if err != nil {
		return err
	}
	to, err := a.openReplica(ctx, at, from, dryRun)
	if err != nil {
		return err
	}
	defer to.Close()
	o := repo.ReplicateOptions{DryRun: dryRun, WarmUp: a.warmUp(fromPlace.location), Progress: &repo.ReplicateProgress{}}
	result, err := a.replicateTo(ctx, at, to, from, o, noKey)
	if err != nil {
		return err
	}
	return a.replicated(result, dryRun)
}

// openReplica opens the store of the second site and makes the replica if there is none.
func (a *app) openReplica(ctx context.Context, at place, from repo.Store, dryRun bool) (repo.Store, error) {
	o, err := a.storeOptions()
	if err != nil {
		return nil, err
	}
	to, err := o.Open(ctx, at.location)
	if errors.Is(err, fs.ErrNotExist) && !dryRun {
		to, err = o.Create(ctx, at.location)
	}
	if err != nil {
		return nil, notHere(at, storeError(at, err))
	}
	limited, err := a.limit(to)
	if err == nil && !dryRun {
		err = repo.StartReplica(ctx, from, limited)
	}
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return limited, nil
}

func (a *app) replicateTo(ctx context.Context, at place, to, from repo.Store, o repo.ReplicateOptions, noKey bool) (*repo.ReplicateResult, error) {
	if noKey {
		defer a.watchReplication(o.Progress)()
		return repo.ReplicateBlind(ctx, from, to, o)
	}
	opts, err := a.options()
	if err != nil {
		return nil, err
	}
	credential, err := a.openingCredential(ctx, at)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, to, credential, opts)
	if err != nil {
		return nil, notHere(at, err)
	}
	defer r.Close()
	opts.CacheDir, opts.WarmUp = "", o.WarmUp // the cache is the one of the second site
	first, err := repo.Open(ctx, from, credential, opts)
	if err != nil {
		return nil, fmt.Errorf("first site: %w", err)
	}
	defer first.Close()
	defer a.watchReplication(o.Progress)()
	return r.Replicate(ctx, first, o)
}

func (a *app) watchReplication(p *repo.ReplicateProgress) (stop func()) {
	return a.watch(func() progress.State {
		return progress.State{Done: p.Bytes.Load(), Total: p.TotalBytes.Load(), TotalIsOnlyAnEstimate: true, Files: p.Files.Load(), TotalFiles: p.TotalFiles.Load()}
	}, func(s progress.State) any { return newStatus(s) })
}

type replicateSummary struct {
	MessageType string   `json:"message_type"`
	DryRun      bool     `json:"dry_run,omitempty"`
	Snapshots   int      `json:"snapshots"`
	Files       int      `json:"files"`
	Bytes       int64    `json:"bytes"`
	Forgotten   int      `json:"forgotten"`
	Gone        int      `json:"gone"`
	Damaged     []string `json:"damaged"`
	Failed      []string `json:"failed"`
}

func (a *app) replicated(r *repo.ReplicateResult, dryRun bool) (err error) {
	s := replicateSummary{MessageType: "summary", DryRun: dryRun, Snapshots: r.Snapshots, Files: r.Files, Bytes: r.Bytes, Forgotten: r.Forgotten, Gone: r.Gone,
		Damaged: []string{}, Failed: []string{}}
	for _, d := range r.Damaged {
		s.Damaged = append(s.Damaged, d.Name)
		a.warn(fmt.Sprintf("%s of the first site was not accepted: %v", d.Name, d.Err))
	}
	for _, f := range r.Failed {
		s.Failed = append(s.Failed, f.ID.String())
		a.warn(fmt.Sprintf("snapshot %s was not taken over: %v", f.ID.String()[:8], f.Err))
	}
	if a.global.json {
		err = a.jsonLine(s)
	} else {
		a.printf("%s%s: %s in %s", map[bool]string{true: "would pull ", false: "pulled "}[dryRun], term.Count(int64(r.Snapshots), "snapshot"),
			term.Size(r.Bytes), term.Count(int64(r.Files), "file"))
		if r.Gone > 0 {
			a.printf("gone at the first site, kept here: %s", term.Count(int64(r.Gone), "snapshot"))
		}
	}
	if err == nil && r.Partial() {
		err = fmt.Errorf("%w: the first site is damaged", errPartial)
	}
	return err
}
