package main

import (
	"strings"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
)

// policyFlags are the rules that say what stays.
type policyFlags struct {
	counts  [7]string
	spans   [6]string
	tags    []string
	overlap bool
	zone    string
	flags   *pflag.FlagSet
}

var (
	countFlags = [7]struct{ name, short, what string }{
		{"last", "l", "keep the last `n` snapshots"}, {"hourly", "", "keep the last of each of `n` hours"}, {"daily", "d", "keep the last of each of `n` days"},
		{"weekly", "w", "keep the last of each of `n` weeks"}, {"monthly", "m", "keep the last of each of `n` months"},
		{"quarterly", "", "keep the last of each of `n` quarters"}, {"yearly", "y", "keep the last of each of `n` years"}}
	spanFlags = [6]string{"", "-hourly", "-daily", "-weekly", "-monthly", "-yearly"}
)

func (p *policyFlags) register(f *pflag.FlagSet) {
	p.flags = f
	for i, c := range countFlags {
		f.StringVarP(&p.counts[i], "keep-"+c.name, c.short, "", c.what)
	}
	for i, name := range spanFlags {
		what := "keep all within a `time` before the newest, such as 1y6m2w3d12h"
		if name != "" {
			what = "keep the" + strings.ReplaceAll(name, "-", " ") + " ones within a `time` before the newest"
		}
		f.StringVar(&p.spans[i], "keep-within"+name, "", what)
	}
	f.StringArrayVar(&p.tags, "keep-tag", nil, "keep all with these `tag[,tag...]` (repeatable)")
	f.BoolVar(&p.overlap, "keep-overlap", false, "count each rule from the newest snapshot, not from where the finer rule ends")
	f.StringVar(&p.zone, "zone", "", "time `zone` in which days begin, such as Europe/Berlin (default UTC)")
}

// policy returns the rules, and false if none was given.
func (p *policyFlags) policy() (out repo.Policy, given bool, err error) {
	counts := []*int{&out.KeepLast, &out.KeepHourly, &out.KeepDaily, &out.KeepWeekly, &out.KeepMonthly, &out.KeepQuarterly, &out.KeepYearly}
	for i, value := range p.counts {
		if !p.flags.Changed("keep-" + countFlags[i].name) {
			continue
		}
		given = true
		if *counts[i], err = retention.ParseCount(value); err != nil {
			return out, true, usageError("--keep-%s: %v", countFlags[i].name, err)
		}
	}
	spans := []*retention.Duration{&out.KeepWithin, &out.KeepWithinHourly, &out.KeepWithinDaily, &out.KeepWithinWeekly, &out.KeepWithinMonthly, &out.KeepWithinYearly}
	for i, value := range p.spans {
		if !p.flags.Changed("keep-within" + spanFlags[i]) {
			continue
		}
		given = true
		if *spans[i], err = retention.ParseDuration(value); err != nil {
			return out, true, usageError("--keep-within%s: %v", spanFlags[i], err)
		}
	}
	given = given || p.tags != nil
	out.KeepTags, out.Overlap, out.Zone = p.tags, p.overlap, p.zone
	if given {
		if err := out.Validate(); err != nil {
			return out, true, usageError("%v", err)
		}
	}
	return out, given, nil
}
