package main

import (
	"context"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) settingsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "settings",
		GroupID: "keep",
		Short:   "Show and change what holds for all that write to the repository",
		Long: `Show and change settings that are stored in the repository and hold for everybody who
writes to it. Flags and variables of a command win over them.`,
		Example: `  snap settings show
  snap settings set --compression better --pack-size 64`,
	}
	return parent(c, a.settingsShowCommand(), a.settingsSetCommand())
}

func (a *app) settingsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "show",
		Short:       "Show the settings",
		Example:     "  snap settings show\n  snap settings show --json",
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error {
				s, err := r.Settings(c.Context())
				if err != nil {
					return err
				}
				return a.showSettings(s)
			})
		},
	}
}

func (a *app) settingsSetCommand() *cobra.Command {
	var lock lockFlags
	c := &cobra.Command{
		Use:   "set [--compression LEVEL] [--pack-size SIZE] [--object-lock MODE]",
		Short: "Change settings",
		Long: `Change the settings that are given and leave the others. What is stored already stays as
it is: a level of compression or a size holds for what is written from then on. With
--object-lock everything in the bucket is locked at once; see snap lock.`,
		Example:     "  snap settings set --compression better\n  snap settings set --pack-size 64",
		Args:        noArgs,
		Annotations: safe("the settings are as they were"),
		RunE: func(c *cobra.Command, _ []string) error {
			change, err := a.settingsChange()
			if err != nil {
				return err
			}
			lock, locked, err := lock.lock()
			if err != nil {
				return err
			}
			if change == nil && !locked {
				return usageError("no setting is given").withHint("for instance: snap settings set --compression better")
			}
			return a.withRepo(c.Context(), func(r *repo.Repo) error {
				return a.changeSettings(c.Context(), r, change, lock, locked)
			})
		},
	}
	lock.register(c.Flags())
	return c
}

func (a *app) changeSettings(ctx context.Context, r *repo.Repo, change func(*repo.Settings) error, lock *repo.ObjectLock, locked bool) (err error) {
	if change != nil {
		_, err = r.UpdateSettings(ctx, change)
	}
	if err == nil && locked {
		err = a.setLock(ctx, r, lock)
	}
	if err != nil {
		return err
	}
	s, err := r.Settings(ctx)
	if err != nil {
		return err
	}
	return a.showSettings(s)
}

// settingsChange returns the change that the flags ask for, nil for none. Variables of the environment are for this machine alone.
func (a *app) settingsChange() (func(*repo.Settings) error, error) {
	g := &a.global
	level, err := a.compression()
	if err != nil {
		return nil, err
	}
	size, err := a.packSize()
	if err != nil {
		return nil, err
	}
	if g.compression == "" && g.packSize == "" {
		return nil, nil
	}
	return func(s *repo.Settings) error {
		if g.compression != "" {
			s.Compression = level
		}
		if g.packSize != "" {
			s.PackSize = size
		}
		return nil
	}, nil
}

// keepSettings stores what the flags say in a repository that was made a moment ago.
func (a *app) keepSettings(ctx context.Context, r *repo.Repo) error {
	change, err := a.settingsChange()
	if err != nil || change == nil {
		return err
	}
	_, err = r.UpdateSettings(ctx, change)
	return err
}

type settingsJSON struct {
	Sequence    uint64 `json:"sequence"`
	Compression string `json:"compression"`
	PackSize    int    `json:"pack_size"`
	Policies    int    `json:"policies"`

	ObjectLock *repo.ObjectLock `json:"object_lock,omitempty"`
}

func (a *app) showSettings(s *repo.Settings) error {
	shown := settingsJSON{Sequence: s.Sequence, Compression: s.Compression, PackSize: s.PackSize, Policies: len(s.Policies), ObjectLock: s.ObjectLock}
	if shown.Compression == "" {
		shown.Compression = "default"
	}
	if shown.PackSize == 0 {
		shown.PackSize = repo.DefaultPackSize
	}
	if a.global.json {
		return a.jsonLine(shown)
	}
	a.printf("compression:  %s", shown.Compression)
	a.printf("pack size:    %s", term.Size(int64(shown.PackSize)))
	a.printf("policies:     %d", shown.Policies)
	if l := s.ObjectLock; l != nil {
		a.printf("object lock:  %s, %d days at least", l.Mode, l.Days)
	}
	return nil
}
