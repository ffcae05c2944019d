package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "policy",
		GroupID: "keep",
		Short:   "Store what to keep of each source",
		Long: `Store in the repository what to keep of each source, so that snap forget needs no
flags and every machine keeps the same. A source is what one host saves of its paths, or
what has one --source name. One without a policy is never forgotten by rule.`,
		Example: `  snap policy set web1:/srv --keep-daily 7 --keep-weekly 4 --keep-monthly 12
  snap policy show
  snap policy remove web1:/srv`,
	}
	return parent(c, a.policySetCommand(), a.policyShowCommand(), a.policyRemoveCommand())
}

func (a *app) policySetCommand() *cobra.Command {
	var f policyFlags
	c := &cobra.Command{
		Use:   "set SOURCE [--keep-daily N ...]",
		Short: "Store what to keep of a source",
		Long: `Store what to keep of a source, in place of what was stored for it before. SOURCE is a
name or an id, as snap policy show prints them.

A coarser rule begins where the finer one ends. Without a rule 7 daily, 4 weekly and 12
monthly are stored, which reach back more than a year. See what a policy does before:
snap retention simulate, and snap retention explain.`,
		Example: `  snap policy set web1:/srv
  snap policy set web1:/srv --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --zone Europe/Berlin
  snap policy set database --keep-within 2d --keep-within-daily 1m --keep-tag release`,
		Args:        between(1, 1, "one source"),
		Annotations: safe("no snapshot was touched"),
		RunE: func(c *cobra.Command, args []string) error {
			p, given, err := f.policy()
			if err != nil {
				return err
			}
			if !given {
				if p, err = f.proposal(); err != nil {
					return err
				}
			}
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.setPolicy(c.Context(), r, args[0], p, given) })
		},
	}
	f.register(c.Flags())
	return c
}

// proposal returns the policy for somebody who gives no rule.
func (p *policyFlags) proposal() (repo.Policy, error) {
	out := repo.DefaultPolicy()
	out.Overlap = p.overlap
	if p.zone != "" {
		out.Zone = p.zone
	}
	if err := out.Validate(); err != nil {
		return out, usageError("%v", err)
	}
	return out, nil
}

func (a *app) setPolicy(ctx context.Context, r *repo.Repo, word string, p repo.Policy, given bool) error {
	id, name, known, err := r.Source(ctx, word)
	if err != nil {
		return err
	}
	if !known {
		a.warn(term.Name(word) + ": no snapshot of this source yet; see the names with: snap policy show")
	}
	if err := r.SetPolicy(ctx, id, name, p); err != nil {
		return err
	}
	if !given {
		a.notef("no rule was given: what is proposed was stored")
	}
	if a.global.json {
		return a.jsonLine(policyJSON{Source: name, SourceB64: rawName(name), SourceID: id.String(), Policy: &p})
	}
	a.printf("%s: keep %s", term.Name(name), p)
	return nil
}

type policyJSON struct {
	Source    string       `json:"source"`
	SourceB64 string       `json:"source_b64,omitempty"`
	SourceID  string       `json:"source_id"`
	Snapshots int          `json:"snapshots"`
	Policy    *repo.Policy `json:"policy"` // null if none is stored
}

func (a *app) policyShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [SOURCE]",
		Short: "Show the sources and what is kept of them",
		Example: `  snap policy show
  snap policy show web1:/srv --json`,
		Args:        between(0, 1, "at most one source"),
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.showPolicies(c.Context(), r, args) })
		},
	}
}

func (a *app) showPolicies(ctx context.Context, r *repo.Repo, words []string) error {
	list, err := a.policies(ctx, r)
	if err != nil {
		return err
	}
	if len(words) > 0 {
		list = slices.DeleteFunc(list, func(p policyJSON) bool { return p.Source != words[0] && p.SourceID != words[0] })
		if len(list) == 0 {
			return fail(exitNoSnapshot, "%q: no such source", words[0]).withHint("list them with: snap policy show")
		}
	}
	if a.global.json {
		return a.jsonLine(list)
	}
	table := term.NewTable("Source", "ID", ">Snapshots", "Keep")
	for _, p := range list {
		keep := "all: no policy is stored"
		if p.Policy != nil {
			keep = p.Policy.String()
		}
		table.Row(term.Name(p.Source), p.SourceID[:8], strconv.Itoa(p.Snapshots), keep)
	}
	return table.Write(a.out)
}

// policies returns all sources that have a snapshot or a policy, by name.
func (a *app) policies(ctx context.Context, r *repo.Repo) ([]policyJSON, error) {
	settings, err := r.Settings(ctx)
	if err != nil {
		return nil, err
	}
	all, err := a.list(ctx, r, repo.Filter{})
	if err != nil {
		return nil, err
	}
	found := map[repo.SourceID]*policyJSON{}
	note := func(id repo.SourceID, name string) *policyJSON {
		if found[id] == nil {
			found[id] = &policyJSON{Source: name, SourceB64: rawName(name), SourceID: id.String()}
		}
		return found[id]
	}
	for _, s := range all {
		note(s.Source, string(s.SourceName)).Snapshots++
	}
	for id, p := range settings.Policies {
		note(id, string(p.Name)).Policy = &p.Keep
	}
	list := make([]policyJSON, 0, len(found))
	for p := range maps.Values(found) {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(x, y policyJSON) int { return strings.Compare(x.Source+x.SourceID, y.Source+y.SourceID) })
	return list, nil
}

func (a *app) policyRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "remove SOURCE",
		Short:       "Keep all of a source from now on",
		Long:        "Remove the policy of a source. Its snapshots are not forgotten by rule any more.",
		Example:     "  snap policy remove web1:/srv",
		Args:        between(1, 1, "one source"),
		Annotations: safe("no snapshot was touched"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.removePolicy(c.Context(), r, args[0]) })
		},
	}
}

func (a *app) removePolicy(ctx context.Context, r *repo.Repo, word string) error {
	id, name, _, err := r.Source(ctx, word)
	if err == nil {
		err = r.RemovePolicy(ctx, id)
	}
	if errors.Is(err, repo.ErrNoPolicy) {
		return fail(exitNoSnapshot, "%q: no policy is stored for this source", word).withHint("list them with: snap policy show")
	}
	if err != nil {
		return err
	}
	if a.global.json {
		return a.jsonLine(policyJSON{Source: name, SourceB64: rawName(name), SourceID: id.String()})
	}
	a.printf("%s: keep all, no policy is stored any more", term.Name(name))
	return nil
}

// storedPolicy returns the policy of a source.
func (a *app) storedPolicy(ctx context.Context, r *repo.Repo, word string) (repo.Policy, error) {
	id, _, _, err := r.Source(ctx, word)
	if err != nil {
		return repo.Policy{}, err
	}
	p, err := r.Policy(ctx, id)
	if errors.Is(err, repo.ErrNoPolicy) {
		return p, fail(exitNoSnapshot, "%q: no policy is stored for this source", word).withHint("store one with: snap policy set, or give rules such as --keep-daily 7")
	}
	return p, err
}
