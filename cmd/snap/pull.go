package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/enrol"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

type pullFlags struct {
	all, dryRun, force, accept bool
}

func (a *app) pullCommand() *cobra.Command {
	var f pullFlags
	c := &cobra.Command{
		Use:     "pull [SOURCE...]",
		GroupID: "pull",
		Short:   "Fetch snapshots from other machines",
		Long: `Fetch snapshots of the sources in the configuration: of those that are named, or of
all that are due.

The machines hold no credential to the repository: this server connects to them,
reads, and says when and under which name a snapshot was made. Sources are pulled
side by side, and one that fails stops no other. A source that looks wrong (empty,
shrunk, another machine, changed all over) gets its snapshot all the same, marked
suspicious; nothing of that source is forgotten until somebody has looked at it. If
all is well, --accept makes a snapshot that counts as a good one.

The exit code is that of the worst result, from good to bad: 0, 3 (something could not
be read), 24 and 23 (a guard tripped), 20 (cannot be reached), 22 (refused), 21 (wrong
host key), and any other failure by its own code, such as 1, 11 (a pull of the source is
under way) or 41 (no space).

If no source can be pulled at all, because the repository cannot be opened or the
configuration is wrong, the hooks after_failure and finally run for each source that was
to be pulled, as far as they can be read.`,
		Example: `  snap pull
  snap pull web1 web2
  snap pull --all --dry-run
  snap config example > /etc/snap/snap.yaml`,
		Annotations: safe("earlier snapshots are as they were"),
		RunE:        func(c *cobra.Command, args []string) error { return a.pull(c.Context(), args, &f) },
	}
	fs := c.Flags()
	fs.BoolVar(&f.all, "all", false, "pull all sources, due or not")
	fs.BoolVarP(&f.dryRun, "dry-run", "n", false, "read everything, keep nothing")
	fs.BoolVar(&f.accept, "accept", false, "take the named sources for good as they are, whatever looks wrong")
	fs.BoolVarP(&f.force, "force", "f", false, "read all files again, even unchanged ones")
	return c
}

// loadConfig reads the configuration that flag, environment or default name, and takes over where the repository is.
func (a *app) loadConfig() (*config.Config, error) {
	name, err := a.configFile()
	if err != nil {
		return nil, err
	}
	c, err := config.Load(name)
	if err != nil {
		return nil, fail(exitUsage, "%w", err).withHint("for a commented example: snap config example")
	}
	g, r := &a.global, c.Repository
	if g.repository == "" && g.repositoryFile == "" && a.getenv("SNAP_REPOSITORY") == "" && a.getenv("SNAP_REPOSITORY_FILE") == "" {
		g.repository = r.Location
	}
	if !a.secretInEnvironment() && g.secret.passwordFile == "" && g.secret.passwordCommand == "" && g.secret.identity == "" && g.secret.passwordFD < 0 {
		g.secret.passwordFile, g.secret.passwordCommand, g.secret.identity = r.PasswordFile, r.PasswordCommand, r.IdentityFile
	}
	return c, nil
}

// secretInEnvironment reports whether a variable says how the repository is opened.
func (a *app) secretInEnvironment() bool {
	return slices.ContainsFunc([]string{"PASSWORD", "PASSWORD_FILE", "PASSWORD_COMMAND", "PASSWORD_FD", "IDENTITY_FILE"}, func(suffix string) bool {
		return a.getenv("SNAP_"+suffix) != ""
	})
}

// configFile returns where the configuration is: --config, SNAP_CONFIG, the user's, or the machine's.
func (a *app) configFile() (string, error) {
	name, tried := a.findConfig()
	if name == "" {
		return "", fail(exitUsage, "there is no configuration: neither %s", strings.Join(tried, " nor ")).withHint("begin with: mkdir -p " + filepath.Dir(tried[0]) + " && snap config example > " + tried[0])
	}
	return name, nil
}

// findConfig returns the name of the configuration, or an empty one and where it was looked for.
func (a *app) findConfig() (name string, tried []string) {
	for _, name := range []string{a.global.config, a.getenv("SNAP_CONFIG")} {
		if name != "" {
			return name, nil
		}
	}
	if dir, err := a.configFolder(); err == nil {
		tried = append(tried, dir+"/snap.yaml")
	}
	tried = append(tried, "/etc/snap/snap.yaml")
	for _, name := range tried {
		if _, err := os.Stat(name); err == nil {
			return name, tried
		}
	}
	return "", tried
}

// configuredPlace returns the place of the repository in the configuration, empty if there is none.
func (a *app) configuredPlace() (string, error) {
	if name, _ := a.findConfig(); name == "" {
		return "", nil
	}
	c, err := a.loadConfig()
	if err != nil {
		return "", err
	}
	return c.Repository.Location, nil
}

// withPuller opens the repository of the configuration for fn.
func (a *app) withPuller(ctx context.Context, fn func(*pull.Puller) error) error {
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	return a.withPullerOf(ctx, c, fn)
}

// withPullerOf opens the repository of a configuration for fn.
func (a *app) withPullerOf(ctx context.Context, c *config.Config, fn func(*pull.Puller) error) error {
	logins := sshconn.NewLogins()
	defer logins.Close()
	return a.withRepo(ctx, func(r *repo.Repo) error {
		return fn(&pull.Puller{Repo: r, Config: c, StateDir: a.stateDir(), Program: "snap " + version, Logger: a.logger(), Logins: logins})
	})
}

func (a *app) pull(ctx context.Context, names []string, f *pullFlags) error {
	if f.all && len(names) > 0 {
		return usageError("name sources or give --all, not both")
	}
	if f.accept && len(names) == 0 {
		return usageError("--accept is for sources that somebody has looked at: name the sources")
	}
	forPull()
	c, err := a.loadConfig()
	if err != nil {
		if name, _ := a.findConfig(); name != "" {
			a.tellFailure(ctx, config.Salvage(name), names, err)
		}
		return err
	}
	begun := false
	err = a.withPullerOf(ctx, c, func(p *pull.Puller) error {
		p.DryRun, p.Force, p.Accept = f.dryRun, f.force, f.accept
		chosen, err := a.chosen(ctx, p, names, f.all)
		if err != nil {
			return err
		}
		begun = true // each source has hooks of its own from here on
		return a.pullWith(ctx, p, chosen)
	})
	if err != nil && !begun {
		a.tellFailure(ctx, c, names, err)
	}
	return err
}

// tellFailure runs the hooks of the sources that were to be pulled, when none of them can be. Without names those are all: which of them are due
// only the repository tells.
func (a *app) tellFailure(ctx context.Context, c *config.Config, names []string, reason error) {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(c.Sources))
	}
	if len(names) == 0 {
		names = []string{""} // the hooks of the defaults may be all that can be read
	}
	if err := pull.Fail(ctx, c, slices.Compact(slices.Sorted(slices.Values(names))), reason); err != nil {
		a.warn("a hook that was to tell of the failure has failed: " + err.Error())
	}
}

func (a *app) pullWith(ctx context.Context, p *pull.Puller, names []string) error {
	if len(names) == 0 {
		if a.global.json {
			return a.jsonLine(pullSummary{MessageType: "summary"})
		}
		a.printf("nothing is due")
		return nil
	}
	results := p.Run(ctx, names, a.pulled)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var made []repo.SnapshotID
	for _, r := range results {
		if r.Snapshot != nil {
			made = append(made, r.Snapshot.ID)
		}
	}
	locked := a.lockSnapshots(ctx, p.Repo, made)
	if locked != nil {
		a.tellFailure(ctx, p.Config, names, locked)
	}
	return errors.Join(a.pullResult(results), locked)
}

// chosen returns the sources to pull.
func (a *app) chosen(ctx context.Context, p *pull.Puller, names []string, all bool) ([]string, error) {
	for _, name := range names {
		if _, ok := p.Config.Sources[name]; !ok {
			return nil, usageError("there is no source %q in the configuration", name).withHint("list them with: snap source list")
		}
	}
	if len(names) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(names))), nil
	}
	if !all {
		return p.Due(ctx)
	}
	for name := range p.Config.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// pulledLine is what is told of each source as JSON.
type pulledLine struct {
	MessageType string   `json:"message_type"`
	Source      string   `json:"source"`
	Result      string   `json:"result"`
	Code        int      `json:"code"`
	Snapshot    string   `json:"snapshot_id,omitempty"`
	Files       int64    `json:"total_files_processed"`
	Bytes       int64    `json:"total_bytes_processed"`
	New         int64    `json:"files_new"`
	Changed     int64    `json:"files_changed"`
	Added       int64    `json:"data_added_packed"`
	Received    int64    `json:"bytes_received"`
	Sent        int64    `json:"bytes_sent"`
	Forgotten   int      `json:"snapshots_forgotten"`
	Seconds     float64  `json:"total_duration"`
	Why         string   `json:"why,omitempty"`
	Error       string   `json:"error,omitempty"`
	Problems    []string `json:"problems,omitempty"`
}

type pullSummary struct {
	MessageType string `json:"message_type"`
	Sources     int    `json:"sources"`
	Failed      int    `json:"failed"`
	Suspicious  int    `json:"suspicious"`
	Partial     int    `json:"partial"`
}

// pulled tells of a source that is done.
func (a *app) pulled(r *pull.Result) {
	code, word := pullCode(r)
	if a.global.json {
		line := pulledLine{MessageType: "pulled", Source: r.Source, Result: word, Code: code, Files: r.Summary.Files, Bytes: r.Summary.Bytes, New: r.Summary.FilesNew,
			Changed: r.Summary.FilesChanged, Added: r.Summary.DataAddedPacked, Received: r.In, Sent: r.Out, Forgotten: r.Forgot, Seconds: r.Duration.Seconds(), Why: r.Why, Problems: r.Problems}
		if r.Snapshot != nil {
			line.Snapshot = r.Snapshot.ID.String()
		}
		if r.Err != nil {
			line.Error = r.Err.Error()
		}
		_ = a.jsonLine(line) // an error of the output shows at its end
		return
	}
	for _, p := range r.Problems {
		a.line(a.stderr, fmt.Sprintf("snap: %s: %s", r.Source, p))
	}
	if r.Err != nil {
		a.line(a.stderr, fmt.Sprintf("snap: %s: no snapshot was made: %v", r.Source, r.Err))
		if hint := pullHint(r.Source, code, r.Err); hint != "" {
			a.line(a.stderr, "hint: "+hint)
		}
		return
	}
	switch {
	case r.Guard == guard.None && r.Why != "":
		a.line(a.stderr, fmt.Sprintf("snap: %s: accepted: %s", r.Source, r.Why))
	case r.Why != "":
		a.line(a.stderr, fmt.Sprintf("snap: %s: suspicious: %s", r.Source, r.Why))
		a.line(a.stderr, "hint: look at it; nothing of this source is forgotten until a good snapshot is made. See: snap diff; if all is well: snap pull --accept "+r.Source)
	}
	if a.global.verbose == 0 && word == "ok" && r.Snapshot != nil && !term.IsTerminal(a.stdout) {
		return
	}
	id := "dry run"
	if r.Snapshot != nil {
		id = "snapshot " + r.Snapshot.ID.String()[:8]
	}
	a.printf("%-20s %s: %d files, %s; %d new, %d changed; %s stored, %s received in %s", r.Source, id, r.Summary.Files, term.Size(r.Summary.Bytes), r.Summary.FilesNew,
		r.Summary.FilesChanged, term.Size(r.Summary.DataAddedPacked), term.Size(r.In), r.Duration.Round(time.Millisecond))
}

// pullHint says what to do about a source that gave no snapshot.
func pullHint(source string, code int, err error) string {
	switch code {
	case exitNoSource:
		return "is it up, and can this server reach it? try: snap source test " + source
	case exitHostKey:
		if errors.Is(err, sshconn.ErrHostUnknown) {
			return "log in once with ssh, and compare what it shows with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
		}
		return "if the host was set up anew, compare the fingerprints and replace the line in known_hosts; else somebody is in between"
	case exitRefused:
		return refusedHint(source, err)
	case exitRootMissing:
		return "check the path; is the disk mounted?"
	}
	switch {
	case errors.Is(err, agent.ErrLimit), errors.Is(err, sftp.ErrLimit):
		return "if there is that much to pull, raise the limits of the source in the configuration; else look what is wrong with it"
	case errors.Is(err, repo.ErrStream):
		return "run the command of the stream by itself on the source to see what is wrong with it"
	case errors.Is(err, pull.ErrTimeout):
		return "look what takes so long, the source or what it runs, or raise the limit of time in the configuration"
	}
	_, hint := classify(err)
	return hint
}

// refusedHint says what to do about a source that refused.
func refusedHint(source string, err error) string {
	var told *protocol.Error
	switch {
	case errors.As(err, &told):
		return "if it shall be pulled, add it there to the policy, " + enrol.PolicyFile + ", or leave it out of the configuration here"
	case errors.Is(err, sshconn.ErrNotRun):
		return "mend there what it says, or set the machine up anew: snap source install " + source
	}
	return "check the key of the pull here and its line in authorized_keys there, or set the machine up anew: snap source install " + source
}

// pullCode returns the exit code of one result, and a word for it.
func pullCode(r *pull.Result) (code int, word string) {
	var told *protocol.Error
	switch err := r.Err; {
	case err == nil && r.Guard == guard.Anomaly:
		return exitAnomaly, "anomaly"
	case err == nil && r.Guard == guard.Missing:
		return exitRootMissing, "suspicious"
	case err == nil && r.Partial:
		return exitPartial, "partial"
	case err == nil:
		return exitOK, "ok"
	case errors.Is(err, sshconn.ErrHostKey):
		return exitHostKey, "host key"
	case errors.Is(err, sshconn.ErrRefused), errors.Is(err, sshconn.ErrNotRun), errors.As(err, &told) && told.Code == protocol.CodeRefused:
		return exitRefused, "refused"
	case errors.Is(err, repo.ErrRootMissing):
		return exitRootMissing, "root missing"
	case errors.Is(err, pull.ErrRunning):
		return exitLocked, "under way"
	case errors.Is(err, pull.ErrTimeout):
		return exitFatal, "too slow"
	case errors.Is(err, pull.ErrUnreachable), errors.Is(err, agent.ErrConnection), errors.Is(err, sftp.ErrConnection):
		return exitNoSource, "unreachable"
	}
	code, _ = classify(r.Err)
	return code, "failed"
}

// badness orders exit codes from harmless to worst.
var badness = []int{exitOK, exitPartial, exitAnomaly, exitRootMissing, exitNoSource, exitRefused, exitHostKey}

// pullResult sums up and returns the worst result as an error that is reported already.
func (a *app) pullResult(results []*pull.Result) error {
	sum := pullSummary{MessageType: "summary", Sources: len(results)}
	worst, rank := exitOK, 0
	for _, r := range results {
		code, _ := pullCode(r)
		k := slices.Index(badness, code)
		if k < 0 {
			k = len(badness)
		}
		if k > rank {
			worst, rank = code, k
		}
		switch {
		case r.Err != nil:
			sum.Failed++
		case r.Guard != guard.None:
			sum.Suspicious++
		case r.Partial:
			sum.Partial++
		}
	}
	if a.global.json {
		if err := a.jsonLine(sum); err != nil {
			return err
		}
	} else {
		a.printf("pulled %d of %d sources, %d suspicious, %d in part", sum.Sources-sum.Failed, sum.Sources, sum.Suspicious, sum.Partial)
	}
	if worst == exitOK {
		return nil
	}
	return fail(worst, "%d of %d sources are not as they should be", sum.Failed+sum.Suspicious+sum.Partial, sum.Sources).withHint("each is named above")
}
