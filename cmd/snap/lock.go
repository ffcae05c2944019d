package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// lockFlags say how files are locked.
type lockFlags struct {
	mode string
	days int
}

func (l *lockFlags) register(f *pflag.FlagSet) {
	f.StringVar(&l.mode, "object-lock", "", "lock all files in an S3 bucket: `mode` governance, compliance or off")
	f.IntVar(&l.days, "lock-days", 0, "for this `number` of days at least (30)")
}

// defaultLockDays is for how long files are locked if nothing says otherwise.
const defaultLockDays = 30

// lock returns the lock that the flags ask for; given is false if they say nothing.
func (l *lockFlags) lock() (lock *repo.ObjectLock, given bool, err error) {
	switch l.mode {
	case "":
		if l.days != 0 {
			return nil, false, usageError("--lock-days without --object-lock")
		}
		return nil, false, nil
	case "off":
		return nil, true, nil
	case "governance", "compliance":
	default:
		return nil, false, usageError("--object-lock: %q is not governance, compliance or off", l.mode)
	}
	lock = &repo.ObjectLock{Mode: l.mode, Days: l.days}
	if lock.Days == 0 {
		lock.Days = defaultLockDays
	}
	if lock.Days < 1 || lock.Days > 3650 {
		return nil, false, usageError("--lock-days: %d is outside 1 to 3650", lock.Days)
	}
	return lock, true, nil
}

// setLock stores a lock in the settings and locks what is there already.
func (a *app) setLock(ctx context.Context, r *repo.Repo, lock *repo.ObjectLock) error {
	if err := r.SetObjectLock(ctx, lock); err != nil || lock == nil {
		return err
	}
	_, err := r.ExtendLocks(ctx, repo.LockOptions{})
	return err
}

func (a *app) lockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "lock",
		GroupID: "keep",
		Short:   "Protect backups in a bucket with Object Lock",
		Long: `Protect backups in a bucket with Object Lock from everybody, also from who has all keys.

When the settings ask for it (snap settings set --object-lock), each file is locked when it
is stored. snap backup and pull extend the locks of what the snapshots need that they make;
snap lock extend, forget and prune extend those of all. A lock lasts for the days of the
settings at least, and until the last snapshot that needs the file may go by the policies
that are stored. Run snap lock extend, forget or prune at least every few days.`,
		Example: "  snap lock report\n  snap lock extend",
	}
	return parent(c, a.lockReportCommand(), a.lockExtendCommand())
}

func (a *app) lockExtendCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:         "extend",
		Short:       "Extend the locks of what snapshots need",
		Example:     "  snap lock extend",
		Args:        noArgs,
		Annotations: safe("no lock was shortened"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error {
				_, err := a.extendLocks(c.Context(), r, repo.LockOptions{DryRun: dryRun})
				return err
			})
		},
	}
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing, tell what would be done")
	return c
}

type lockSummary struct {
	MessageType string     `json:"message_type"`
	DryRun      bool       `json:"dry_run,omitempty"`
	Objects     int        `json:"objects"`
	Extended    int        `json:"extended"`
	Until       *time.Time `json:"until"` // null if something is not locked
	Hidden      []string   `json:"hidden"`
	Missing     []string   `json:"missing"`
	Broken      []string   `json:"broken"` // snapshots
	Freed       int        `json:"freed"`
	FreedBytes  int64      `json:"freed_bytes"`
	Held        int        `json:"held"`
	HeldBytes   int64      `json:"held_bytes"`
	HeldUntil   *time.Time `json:"held_until,omitempty"`
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// extendLocks extends locks and tells what it did.
func (a *app) extendLocks(ctx context.Context, r *repo.Repo, o repo.LockOptions) (*repo.LockResult, error) {
	result, err := r.ExtendLocks(ctx, o)
	if result == nil {
		return nil, err
	}
	broken := make([]string, len(result.Broken))
	for i, id := range result.Broken {
		broken[i] = id.String()
	}
	if a.global.json {
		jsonErr := a.jsonLine(lockSummary{"locks", o.DryRun, result.Objects, result.Extended, orNull(result.Smallest), append([]string{}, result.Hidden...),
			append([]string{}, result.Missing...), broken, result.Freed, result.FreedBytes, result.Held, result.HeldBytes, orNull(result.HeldUntil)})
		return result, errors.Join(err, jsonErr)
	}
	for _, name := range append(result.Hidden, result.Missing...) {
		a.warn(name + " was removed, and is needed")
	}
	for _, id := range broken {
		a.warn("snapshot " + id[:8] + " cannot be read wholly: all that is stored is locked for it")
	}
	until := "not all of them"
	if !result.Smallest.IsZero() {
		until = "all until " + result.Smallest.Local().Format(time.DateTime) + " at least"
	}
	if !a.global.quiet {
		a.printf("locked:      %s, %s; %d extended", term.Count(int64(result.Objects), "file"), until, result.Extended)
		if result.Freed > 0 {
			a.printf("locks over:  %s in %s, gone for good", term.Size(result.FreedBytes), term.Count(int64(result.Freed), "file"))
		}
		if result.Held > 0 {
			a.printf("still held:  %s in %s that nobody needs, the first until %s", term.Size(result.HeldBytes), term.Count(int64(result.Held), "file"),
				result.HeldUntil.Local().Format(time.DateTime))
		}
	}
	return result, err
}

// keepLocks is the part of forget and prune about locks, if the settings ask for them.
func (a *app) keepLocks(ctx context.Context, r *repo.Repo, o repo.LockOptions) (*repo.LockResult, error) {
	result, err := a.extendLocks(ctx, r, o)
	if errors.Is(err, repo.ErrNotLocked) {
		return &repo.LockResult{}, nil
	}
	return result, err
}

// lockSnapshots locks what snapshots need that were made a moment ago. They are complete, whatever comes of it: only what was removed is an error.
func (a *app) lockSnapshots(ctx context.Context, r *repo.Repo, made []repo.SnapshotID) error {
	result, err := r.LockSnapshots(ctx, made)
	if err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, repo.ErrHidden) {
		for _, name := range append(result.Hidden, result.Missing...) {
			a.warn(name + " was removed, and is needed")
		}
		return err
	}
	a.warn("not all that the snapshot needs is locked for long enough, until snap lock extend has run: " + err.Error())
	return nil
}

func (a *app) lockReportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report",
		Short: "Tell until when each snapshot is protected",
		Long: `Ask the storage until when each file is locked that a snapshot needs, and tell for each
snapshot when the first of these locks is over. What is not locked is named.`,
		Example:     "  snap lock report\n  snap lock report --json",
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.lockReport(c.Context(), r) })
		},
	}
}

type lockLine struct {
	ID       string     `json:"id"`
	Time     time.Time  `json:"time"`
	Source   string     `json:"source"`
	Until    *time.Time `json:"until"` // null if it is not protected
	Unlocked []string   `json:"unlocked"`
	Error    string     `json:"error,omitempty"` // why it cannot be told what the snapshot needs
}

func (a *app) lockReport(ctx context.Context, r *repo.Repo) error {
	list, err := r.LockReport(ctx)
	if err != nil {
		return err
	}
	lines := make([]lockLine, 0, len(list))
	table := term.NewTable("ID", "Time", "Source", "Protected until")
	bare := 0
	for _, l := range list {
		s := l.Snapshot
		line := lockLine{s.ID.String(), s.Time, string(s.SourceName), orNull(l.Until), append([]string{}, l.Unlocked...), ""}
		if l.Err != nil {
			line.Error = l.Err.Error()
		}
		lines = append(lines, line)
		if l.Until.IsZero() {
			bare++
		}
		table.Row(s.ID.String()[:8], s.Time.Local().Format(time.DateTime), term.Name(string(s.SourceName)), protection(&l))
	}
	if a.global.json {
		err = a.jsonLine(lines)
	} else {
		err = table.Write(a.out)
	}
	if err == nil && bare > 0 {
		err = fmt.Errorf("%w: %s not protected; run: snap lock extend", errPartial, term.Count(int64(bare), "snapshot"))
	}
	return err
}

// protection tells people until when a snapshot is protected, or why not.
func protection(l *repo.SnapshotLock) string {
	switch {
	case len(l.Unlocked) > 0:
		return fmt.Sprintf("not: %s without a lock: %s", term.Count(int64(len(l.Unlocked)), "file"), strings.Join(l.Unlocked[:min(3, len(l.Unlocked))], " "))
	case l.Err != nil:
		return "not known: it cannot be read wholly"
	}
	return l.Until.Local().Format(time.DateTime)
}
