package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	var sample string
	var all bool
	c := &cobra.Command{
		Use:     "verify SOURCE...",
		GroupID: "pull",
		Short:   "Compare a source with its last snapshot",
		Long: `Compare a live source with its last good snapshot. All files are looked at, and of
those that look unchanged a sample, chosen by chance anew each time, is hashed on the
source and compared with what is stored. It tells

  silent    content differs though size, times and inode are the same: a disk that
            decays, or somebody who hides a change
  missed    a file that is older than the snapshot and not in it
  drift     what is new, changed and gone since the snapshot, as it should be
  not covered    file systems and databases that no source is configured for

Nothing is written, and no stored file data is read: a writer key is enough. That what
is stored can be read is for snap check --read-data.

The exit code is 0, 24 if content has changed silently, and 3 if files were missed or
could not be read.`,
		Example:     "  snap verify web1\n  snap verify web1 --sample 20%\n  snap verify web1 --all",
		Args:        between(1, -1, "sources"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			share, err := parseShare(sample)
			if err != nil {
				return usageError("--sample %q: want a share such as 5%%", sample)
			}
			if all {
				share = 1
			}
			if _, err := a.sourcesNamed(args); err != nil {
				return err
			}
			forPull()
			return a.withPuller(c.Context(), func(p *pull.Puller) error { return a.verifySources(c.Context(), p, args, share) })
		},
	}
	c.Flags().StringVar(&sample, "sample", "5%", "`share` of the files that look unchanged, to be compared by content")
	c.Flags().BoolVar(&all, "all", false, "compare all of them")
	return c
}

func parseShare(s string) (float64, error) {
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v >= 0 && v <= 100) {
		return 0, strconv.ErrSyntax
	}
	return v / 100, nil
}

// verifyLine is what a comparison has shown, as JSON.
type verifyLine struct {
	MessageType string   `json:"message_type"`
	Source      string   `json:"source"`
	Snapshot    string   `json:"snapshot_id,omitempty"`
	Code        int      `json:"code"`
	Error       string   `json:"error,omitempty"`
	Files       int64    `json:"total_files"`
	Compared    int64    `json:"files_compared"`
	Silent      []string `json:"silent,omitempty"`
	Missed      []string `json:"missed,omitempty"`
	New         int64    `json:"files_new"`
	Changed     int64    `json:"files_changed"`
	Gone        int64    `json:"files_gone"`
	Problems    []string `json:"problems,omitempty"`
	Uncovered   []string `json:"uncovered,omitempty"`
	Received    int64    `json:"bytes_received"`
}

func (a *app) verifySources(ctx context.Context, p *pull.Puller, names []string, share float64) error {
	worst := exitOK
	for _, name := range names {
		v, err := p.Verify(ctx, name, share)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		code := verifyCode(v, err)
		if worst == exitOK || code == exitAnomaly {
			worst = code
		}
		if a.global.json {
			if err := a.jsonLine(verifyJSON(name, v, code, err)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			a.line(a.stderr, fmt.Sprintf("snap: %s: %v", name, err))
			if hint := pullHint(name, code, err); hint != "" {
				a.line(a.stderr, "hint: "+hint)
			}
			continue
		}
		a.printVerification(v)
	}
	if worst != exitOK {
		return fail(worst, "not all is as it should be").withHint("each source is named above")
	}
	return nil
}

func verifyCode(v *pull.Verification, err error) int {
	switch {
	case errors.Is(err, pull.ErrNothingToVerify):
		return exitNoSnapshot
	case err != nil:
		code, _ := pullCode(&pull.Result{Err: err})
		return code
	case len(v.Silent) > 0:
		return exitAnomaly
	case v.Bad():
		return exitPartial
	}
	return exitOK
}

func verifyJSON(name string, v *pull.Verification, code int, err error) verifyLine {
	line := verifyLine{MessageType: "verified", Source: name, Code: code}
	if err != nil {
		line.Error = err.Error()
		return line
	}
	line.Snapshot, line.Files, line.Compared, line.Silent, line.Missed = v.Snapshot.ID.String(), v.Files, v.Compared, v.Silent, v.Missed
	line.New, line.Changed, line.Gone, line.Problems, line.Uncovered, line.Received = v.New, v.Changed, v.Gone, v.Problems, v.Uncovered, v.In
	return line
}

func (a *app) printVerification(v *pull.Verification) {
	a.printf("%s: %s on the source, %d compared by content with snapshot %s", term.Name(v.Source), term.Count(v.Files, "file"), v.Compared, shortID(v.Snapshot))
	a.printf("  drift since: %d new, %d changed, %d gone", v.New, v.Changed, v.Gone)
	for _, list := range []struct {
		what  string
		items []string
	}{{"SILENT", v.Silent}, {"MISSED", v.Missed}, {"problem", v.Problems}, {"not covered", v.Uncovered}} {
		for _, item := range list.items {
			a.printf("  %-11s %s", list.what, term.Name(item))
		}
	}
}
