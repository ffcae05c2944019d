package main

import (
	"context"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) statsCommand() *cobra.Command {
	var sel selection
	var mode string
	c := &cobra.Command{
		Use:     "stats [SNAPSHOT...]",
		GroupID: "keep",
		Short:   "Show how much snapshots hold, and what storing them takes",
		Long: `Show how much snapshots hold, and what storing them takes.

With --json, total_size is the size of all files of all snapshots when restored,
or with --mode raw-data what is stored for them.`,
		Example: `  snap stats
  snap stats latest
  snap stats --host web1 --json --mode raw-data`,
		Args:        between(0, -1, "snapshots"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.stats(c.Context(), r, args, sel.filter(), mode) })
		},
	}
	c.Flags().StringVar(&mode, "mode", "restore-size", "what total_size is: `restore-size` or raw-data")
	sel.register(c.Flags())
	return c
}

type statsJSON struct {
	TotalSize             int64   `json:"total_size"`
	TotalUncompressedSize int64   `json:"total_uncompressed_size"`
	CompressionRatio      float64 `json:"compression_ratio,omitempty"`
	TotalFileCount        int64   `json:"total_file_count"`
	TotalBlobCount        int64   `json:"total_blob_count"`
	SnapshotsCount        int     `json:"snapshots_count"`
	RestoreSize           int64   `json:"restore_size"`
	StoredSize            int64   `json:"stored_size"`
	RepositoryPacks       int64   `json:"repository_packs"`
	RepositorySize        int64   `json:"repository_size"`
}

func (a *app) stats(ctx context.Context, r *repo.Repo, words []string, f repo.Filter, mode string) error {
	if mode != "restore-size" && mode != "raw-data" {
		return usageError("--mode: %q is not restore-size or raw-data", mode)
	}
	all, err := a.some(ctx, r, words, f)
	if err != nil {
		return err
	}
	s, err := r.Stats(ctx, all)
	if err != nil {
		return err
	}
	ratio := 0.0
	if s.StoredBytes > 0 {
		ratio = float64(s.ChunkBytes) / float64(s.StoredBytes)
	}
	if a.global.json {
		out := statsJSON{s.RestoreSize, s.ChunkBytes, ratio, s.Files + s.Dirs + s.Others, s.Chunks, s.Snapshots,
			s.RestoreSize, s.StoredBytes, s.RepositoryPacks, s.RepositoryPackBytes}
		if mode == "raw-data" {
			out.TotalSize = s.StoredBytes
		}
		return a.jsonLine(out)
	}
	a.printf("snapshots:          %d", s.Snapshots)
	a.printf("files:              %d, and %s, %s", s.Files, term.Count(s.Dirs, "folder"), term.Count(s.Others, "other"))
	a.printf("size when restored: %s", term.Size(s.RestoreSize))
	a.printf("different content:  %s in %s", term.Size(s.ChunkBytes), term.Count(s.Chunks, "chunk"))
	a.printf("stored for it:      %s (%.2f to 1)", term.Size(s.StoredBytes), ratio)
	a.printf("whole repository:   %s in %s", term.Size(s.RepositoryPackBytes), term.Count(s.RepositoryPacks, "pack"))
	return nil
}
