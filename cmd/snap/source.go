package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/enrol"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) sourceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "source",
		GroupID: "pull",
		Short:   "Look after the machines that are pulled from",
		Long: `A source is a machine, or a part of one, that the configuration names. It is set up
once, with install; audit then tries what the key of the pull can do there.`,
		Example: "  snap source install web1.example.org --path /etc --path /srv\n  snap source audit web1\n  snap source list",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.sourceInstallCommand(), &cobra.Command{
		Use:   "audit SOURCE...",
		Short: "Try what the key of the pull can do on a source",
		Long: `Log in to a source with the key of the pull and try what an attacker who has taken
the backup server would: run a command, get a shell or a terminal, write a file,
forward a port, use SFTP, and ask the agent for folders and commands that its policy
does not allow. Of a source with the transport sftp it asks the SFTP server to make a
folder instead, where the pull reads and where a login begins; it removes it again.

The exit code is 1 if something was allowed that should not be.`,
		Example:     "  snap source audit web1",
		Args:        between(1, -1, "sources"),
		Annotations: safe("nothing was changed"),
		RunE:        func(c *cobra.Command, args []string) error { return a.sourceAudit(c.Context(), args) },
	}, a.sourceListCommand(), &cobra.Command{
		Use:         "show SOURCE",
		Short:       "Show what is configured of a source, with the defaults filled in",
		Example:     "  snap source show web1",
		Args:        between(1, 1, "source"),
		Annotations: safe("nothing was changed"),
		RunE:        func(_ *cobra.Command, args []string) error { return a.sourceShow(args[0]) },
	}, &cobra.Command{
		Use:   "test SOURCE...",
		Short: "Connect to a source and look, without reading a file",
		Long: `Connect to a source as a pull does, and show what answers: its program, what its
kernel keeps the agent from, what the policy there allows, what is configured and not
there, and which file systems and databases there are that nobody has configured.`,
		Example:     "  snap source test web1",
		Args:        between(1, -1, "sources"),
		Annotations: safe("nothing was changed"),
		RunE:        func(c *cobra.Command, args []string) error { return a.sourceTest(c.Context(), args) },
	})
	return c
}

func (a *app) sourceListCommand() *cobra.Command {
	var overdue bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the sources, with their last snapshots",
		Long: `List the sources of the configuration, each with its last snapshot that is not
suspicious, and whether it is due.

--overdue is for a watchman: it lists only sources whose last good snapshot is older
than twice the time after which they are due, or which have none, and ends with exit
code 32 if there are some. That tells of pulls that failed, and of pulls that nobody
started.`,
		Example:     "  snap source list\n  snap source list --overdue",
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withPuller(c.Context(), func(p *pull.Puller) error { return a.sourceList(c.Context(), p, overdue) })
		},
	}
	c.Flags().BoolVar(&overdue, "overdue", false, "list only sources without a good snapshot for twice as long as they ask for; exit code 32 if there are some")
	return c
}

// isOverdue reports whether a source has had no good snapshot for twice as long as it asks for, or has one of a time to come.
func isOverdue(c *config.Source, last *repo.Snapshot, now time.Time) bool {
	return last == nil || now.Sub(last.Time) > 2*c.Every.Or(config.DefaultEvery) || last.Time.After(now.Add(c.Every.Or(config.DefaultEvery)))
}

// sourcesNamed returns sources of the configuration by name.
func (a *app) sourcesNamed(names []string) ([]config.Source, error) {
	conf, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	var all []config.Source
	for _, name := range names {
		c, ok := conf.Sources[name]
		if !ok {
			return nil, usageError("there is no source %q in the configuration", name).withHint("there are: " + strings.Join(slices.Sorted(maps.Keys(conf.Sources)), ", "))
		}
		all = append(all, c)
	}
	return all, nil
}

// sourceLine is a source as JSON.
type sourceLine struct {
	MessageType string     `json:"message_type"`
	Source      string     `json:"source"`
	Address     string     `json:"address,omitempty"`
	Transport   string     `json:"transport"`
	Paths       []string   `json:"paths,omitempty"`
	Snapshot    string     `json:"snapshot_id,omitempty"`
	Time        *time.Time `json:"time,omitempty"`
	Due         bool       `json:"due"`
	Overdue     bool       `json:"overdue"`
}

func (a *app) sourceList(ctx context.Context, p *pull.Puller, onlyOverdue bool) error {
	due, err := p.Due(ctx)
	if err != nil {
		return err
	}
	last, err := p.LastGood(ctx)
	if err != nil {
		return err
	}
	table := term.NewTable("Source", "Address", "Transport", "Last good", "Due", "What")
	late := 0
	for _, name := range slices.Sorted(maps.Keys(p.Config.Sources)) {
		c := p.Config.Sources[name]
		line := sourceLine{MessageType: "source", Source: name, Address: c.Address, Transport: c.Transport, Paths: c.Paths, Due: slices.Contains(due, name), Overdue: isOverdue(&c, last[name], time.Now())}
		if line.Overdue {
			late++
		} else if onlyOverdue {
			continue
		}
		when := "never"
		if s := last[name]; s != nil {
			line.Snapshot, line.Time = s.ID.String(), &s.Time
			when = s.Time.Local().Format(time.DateTime)
		}
		if a.global.json {
			if err := a.jsonLine(line); err != nil {
				return err
			}
			continue
		}
		what := slices.Concat(c.Paths, c.Devices)
		for _, s := range c.Streams {
			what = append(what, "stream "+s.Name)
		}
		table.Row(name, c.Address, c.Transport, when, yes(line.Due), strings.Join(what, "\n"))
	}
	if !a.global.json {
		if err := table.Write(a.out); err != nil {
			return err
		}
		a.printf("%s, %d due, %d overdue", term.Count(int64(len(p.Config.Sources)), "source"), len(due), late)
	}
	if onlyOverdue && late > 0 {
		return fail(exitOverdue, "no good snapshot for too long: %s", term.Count(int64(late), "source")).
			withHint("see why: snap source test SOURCE, snap pull SOURCE; is the pull started at all?")
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (a *app) sourceShow(name string) error {
	all, err := a.sourcesNamed([]string{name})
	if err != nil {
		return err
	}
	if a.global.json {
		c := all[0]
		return a.jsonLine(sourceLine{MessageType: "source", Source: name, Address: c.Address, Transport: c.Transport, Paths: c.Paths})
	}
	text, err := config.Show(&config.Config{Sources: map[string]config.Source{name: all[0]}})
	if err != nil {
		return err
	}
	a.printf("%s", strings.TrimRight(text, "\n"))
	return nil
}

// testLine is what a look at a source has shown, as JSON.
type testLine struct {
	MessageType string   `json:"message_type"`
	Source      string   `json:"source"`
	Code        int      `json:"code"`
	Error       string   `json:"error,omitempty"`
	Program     string   `json:"program,omitempty"`
	Host        string   `json:"host,omitempty"`
	Kernel      string   `json:"kernel,omitempty"`
	Enforced    []string `json:"enforced,omitempty"`
	Policy      string   `json:"policy,omitempty"`
	Roots       []string `json:"roots,omitempty"`
	Streams     []string `json:"streams,omitempty"`
	Missing     []string `json:"missing,omitempty"`
	Uncovered   []string `json:"uncovered,omitempty"`
	Skew        float64  `json:"clock_skew"`
	Seconds     float64  `json:"connect_duration"`
}

func (a *app) sourceTest(ctx context.Context, names []string) error {
	all, err := a.sourcesNamed(names)
	if err != nil {
		return err
	}
	worst := exitOK
	for i, c := range all {
		report, err := pull.Look(ctx, names[i], &c)
		code, _ := pullCode(&pull.Result{Err: err})
		if err == nil && len(report.Missing) > 0 {
			code = exitRootMissing
		}
		if worst == exitOK {
			worst = code
		}
		if err := a.tested(names[i], report, code, err); err != nil {
			return err
		}
	}
	if worst != exitOK {
		return fail(worst, "not all is as it should be").withHint("each source is named above")
	}
	return nil
}

// tested prints what a look at a source has shown.
func (a *app) tested(name string, r *pull.Report, code int, err error) error {
	line := testLine{MessageType: "source_test", Source: name, Code: code}
	if err != nil {
		if line.Error = err.Error(); a.global.json {
			return a.jsonLine(line)
		}
		a.line(a.stderr, fmt.Sprintf("snap: %s: %v", name, err))
		if hint := pullHint(name, code, err); hint != "" {
			a.line(a.stderr, "hint: "+hint)
		}
		return nil
	}
	line.Missing, line.Uncovered, line.Skew, line.Seconds = r.Missing, r.Uncovered, r.Skew.Seconds(), r.Connect.Seconds()
	if h := r.Hello; h != nil {
		line.Program, line.Host, line.Kernel, line.Enforced, line.Policy, line.Roots = h.Program, h.Host, h.Kernel, h.Enforced, h.Policy, h.Roots
		for _, s := range h.Streams {
			line.Streams = append(line.Streams, s.Name)
		}
	}
	if a.global.json {
		return a.jsonLine(line)
	}
	a.printTested(&line)
	return nil
}

func (a *app) printTested(l *testLine) {
	a.printf("%s answers after %d ms", term.Name(l.Source), int(1000*l.Seconds))
	for _, f := range []struct {
		what  string
		items []string
	}{{"program", one(l.Program)}, {"calls itself", one(l.Host)}, {"kernel", one(l.Kernel)}, {"kept from writing by", l.Enforced}, {"policy", one(l.Policy)},
		{"allows to read", l.Roots}, {"allows to run", l.Streams}, {"MISSING", l.Missing}, {"not covered", l.Uncovered}} {
		for _, item := range f.items {
			a.printf("  %-21s %s", f.what, term.Name(item))
		}
	}
	if l.Skew > 5 || l.Skew < -5 {
		a.printf("  %-21s %.0f s", "its clock is off by", l.Skew)
	}
}

// one returns a text as a list, empty if it is empty.
func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// auditLine is an attempt as JSON.
type auditLine struct {
	MessageType string        `json:"message_type"`
	Source      string        `json:"source"`
	What        string        `json:"attempt"`
	Verdict     enrol.Verdict `json:"verdict"`
	Detail      string        `json:"detail"`
}

// errHere says that nobody logs in to a source.
func errHere(name string) error {
	return usageError("source %q has the transport local: nobody logs in to this machine for it", name).withHint("look at it with: snap source show " + term.Name(name))
}

func (a *app) sourceAudit(ctx context.Context, names []string) error {
	all, err := a.sourcesNamed(names)
	if err != nil {
		return err
	}
	for i, c := range all {
		if c.Transport == config.TransportLocal {
			return errHere(names[i])
		}
	}
	bad := 0
	var failed error // the first of those that could not be tried: it keeps nobody from the others
	for i, c := range all {
		attempts, err := pull.Audit(ctx, &c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			attempts = []enrol.Attempt{{What: "log in", Verdict: enrol.Unknown, Detail: err.Error()}}
			if code, _ := pullCode(&pull.Result{Err: err}); failed == nil {
				failed = fail(code, "%s: %w", names[i], err).withHint(pullHint(names[i], code, err))
			}
		}
		for _, x := range attempts {
			if x.Verdict == enrol.Allowed {
				bad++
			}
			if err := a.attempted(names[i], x); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fail(exitFatal, "%s that should be refused", term.Count(int64(bad), "attempt")+" went through").withHint("set the source up anew: snap source install")
	}
	return failed
}

func (a *app) attempted(source string, x enrol.Attempt) error {
	if a.global.json {
		return a.jsonLine(auditLine{"audit", source, x.What, x.Verdict, x.Detail})
	}
	verdict := string(x.Verdict)
	if x.Verdict == enrol.Allowed {
		verdict = strings.ToUpper(verdict)
	}
	a.printf("%-12s %-8s %s: %s", term.Name(source), verdict, term.Name(x.What), term.Line(x.Detail))
	return nil
}
