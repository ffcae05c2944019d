package main

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/pack"
	"github.com/snapkeep/snap/repo"
)

// ledger opens what is known of earlier checks of the repository at a place; nil if there is no folder for it.
func (a *app) ledger(at place, r *repo.Repo) *repo.Ledger {
	state, err := a.folder("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return nil
	}
	// A copy of a repository at another place has the same id, and its own state.
	where := at.location
	if scheme, _, ok := strings.Cut(where, ":"); !ok || strings.Contains(scheme, "/") {
		if abs, err := filepath.Abs(where); err == nil {
			where = abs
		}
	}
	l, err := repo.OpenLedger(filepath.Join(state, r.ID(), "verified-"+pack.SumID([]byte(where)).String()[:16]))
	if err != nil {
		a.warn("what was verified before is not known: " + err.Error())
		return nil
	}
	return l
}

// parseAge reads a time such as 30d or 1y6m.
func parseAge(flag, value string) (time.Duration, error) {
	d, err := retention.ParseDuration(value)
	if err != nil {
		return 0, usageError("%s: %q is no time such as 30d, 6m or 12h", flag, value)
	}
	now := time.Now().UTC()
	then := now.AddDate(-d.Years, -d.Months, -7*d.Weeks-d.Days)
	age := now.Sub(then) + time.Duration(d.Hours)*time.Hour + time.Duration(d.Minutes)*time.Minute + time.Duration(d.Seconds)*time.Second
	if age <= 0 || d.Years > 100 {
		return 0, usageError("%s: %q is not between a second and 100 years", flag, value)
	}
	return age, nil
}

// coverage is what --json tells of the ledger.
type coverage struct {
	Packs         int        `json:"packs"`
	Bytes         int64      `json:"bytes"`
	Verified      int        `json:"packs_verified"`
	VerifiedBytes int64      `json:"bytes_verified"`
	Never         int        `json:"packs_never_verified"`
	Left          int        `json:"packs_left"`
	Oldest        *time.Time `json:"oldest,omitempty"`
	MaxAge        float64    `json:"max_age_seconds,omitempty"`
	DataOpened    bool       `json:"data_opened"`
}

func newCoverage(r *repo.CheckResult) *coverage {
	c := r.Coverage
	if c == nil {
		return nil
	}
	out := &coverage{Packs: c.Packs, Bytes: c.Bytes, Verified: c.Verified, VerifiedBytes: c.VerifiedBytes, Never: c.Never, Left: r.PacksLeft,
		MaxAge: c.MaxAge.Seconds(), DataOpened: c.Opened}
	if !c.Oldest.IsZero() {
		oldest := c.Oldest.UTC()
		out.Oldest = &oldest
	}
	return out
}

// printCoverage tells what this machine has verified, unless nothing ever was.
func (a *app) printCoverage(r *repo.CheckResult, maxAge string) {
	c := r.Coverage
	if c == nil || c.Packs == 0 || (c.Never == c.Packs && maxAge == "") {
		return
	}
	within := ""
	if maxAge != "" {
		within = " within " + maxAge
	}
	a.printf("verified here%s: %d of %s, %s of %s", within, c.Verified, term.Count(int64(c.Packs), "pack"), term.Size(c.VerifiedBytes), term.Size(c.Bytes))
	if !c.Oldest.IsZero() {
		never := ""
		if c.Never > 0 {
			never = ", and " + term.Count(int64(c.Never), "pack") + " never"
		}
		a.printf("longest ago:   %s%s", c.Oldest.Local().Format(time.DateTime), never)
	}
	if r.PacksLeft > 0 {
		a.printf("time was up:   %s left for the next run", term.Count(int64(r.PacksLeft), "pack"))
	}
}
