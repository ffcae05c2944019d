package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"github.com/snapkeep/snap/internal/progress"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

// version is the program's version; the linker sets it in releases.
var version = "0.1.0-dev"

// system is what a call of the program works with.
type system struct {
	args           []string // without the program's name
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(name string) string
}

// app is one call of the program.
type app struct {
	system
	global  globals
	command string // that runs
	safe    string // what is safe if it fails
	close   []func() error

	mu     sync.Mutex // guards what follows, which is used from several goroutines
	out    *bufio.Writer
	meter  *progress.Meter
	warned map[string]bool // messages that were printed already
	unread error           // why some snapshots are not among those that the command works with
}

// run runs the program and returns its exit code.
func run(ctx context.Context, s system) int {
	a := &app{system: s, command: "snap", out: bufio.NewWriterSize(s.stdout, 64<<10)}
	root := a.root()
	root.SetArgs(s.args)
	root.SetIn(s.stdin)
	root.SetOut(a.out)
	root.SetErr(s.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = a.unreadError()
	}
	for i := len(a.close) - 1; i >= 0; i-- {
		err = errors.Join(err, a.close[i]())
	}
	flushErr := a.out.Flush()
	if isPipe := errors.Is(flushErr, syscall.EPIPE); isPipe && (err == nil || errors.Is(err, syscall.EPIPE)) && ctx.Err() == nil {
		return exitPipe // as whoever pipes is used to: nothing is said of it
	} else if !isPipe {
		err = a.outputError(err, flushErr)
	}
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && context.Cause(ctx) == errInterrupted {
		err = errInterrupted
	}
	return a.report(err)
}

// outputError adds to the error of a command, if there is one, that of writing what it printed.
func (a *app) outputError(err, flushErr error) error {
	if err != nil || flushErr == nil {
		return errors.Join(err, flushErr)
	}
	a.safe = "what else there was to do was done"
	code, _ := classify(flushErr)
	return fail(code, "%w", flushErr).withHint("see to it that the output can be written to its end")
}

// root returns the command line.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "snap",
		Short: "Deduplicated, encrypted backups",
		Long: `snap keeps deduplicated, encrypted backups.

The first one needs nothing but a folder to save:

    snap backup ~/Documents

It makes an encrypted repository in your data folder and a key in your
configuration folder, and says where both are.`,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		PersistentPreRunE:          func(c *cobra.Command, _ []string) error { return a.prepare(c) },
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%v", err).withHint("run: " + c.CommandPath() + " --help")
	})
	a.global.register(root.PersistentFlags())
	root.AddGroup(groups...)
	for _, c := range a.made() {
		root.AddCommand(c)
	}
	root.SetHelpCommand(a.helpCommand(root))
	plainUsage(root)
	return root
}

// groups order the commands in the help.
var groups = []*cobra.Group{
	{ID: "make", Title: "Making backups:"},
	{ID: "pull", Title: "Pulling from other machines:"},
	{ID: "read", Title: "Finding and getting back:"},
	{ID: "keep", Title: "Looking after the repository:"},
}

// commands make the commands below the first, by name.
var commands = []struct {
	name string
	make func(*app) *cobra.Command
}{
	{"init", (*app).initCommand}, {"backup", (*app).backupCommand}, {"tag", (*app).tagCommand}, {"pin", (*app).pinCommand},
	{"unpin", (*app).unpinCommand}, {"copy", (*app).copyCommand}, {"replicate", (*app).replicateCommand},
	{"pull", (*app).pullCommand}, {"verify", (*app).verifyCommand}, {"source", (*app).sourceCommand},
	{"config", (*app).configCommand}, {"agent", (*app).agentCommand}, {"snapshots", (*app).snapshotsCommand},
	{"restore", (*app).restoreCommand}, {"ls", (*app).lsCommand}, {"find", (*app).findCommand},
	{"history", (*app).historyCommand}, {"diff", (*app).diffCommand}, {"dump", (*app).dumpCommand},
	{"mount", (*app).mountCommand}, {"policy", (*app).policyCommand}, {"settings", (*app).settingsCommand},
	{"retention", (*app).retentionCommand}, {"forget", (*app).forgetCommand}, {"undelete", (*app).undeleteCommand},
	{"prune", (*app).pruneCommand}, {"space", (*app).spaceCommand}, {"stats", (*app).statsCommand}, {"log", (*app).logCommand},
	{"cache", (*app).cacheCommand}, {"lock", (*app).lockCommand}, {"check", (*app).checkCommand}, {"scrub", (*app).scrubCommand},
	{"repair", (*app).repairCommand}, {"key", (*app).keyCommand}, {"cat", (*app).catCommand}, {"version", (*app).versionCommand},
	{"completion", (*app).completionCommand}, {"exit-codes", (*app).exitCodesCommand},
	{"environment", (*app).environmentCommand}, {"json", (*app).jsonCommand},
}

// made returns the commands, or the only one that can be meant: a program that is started for a moment makes no more than
// it needs.
func (a *app) made() (all []*cobra.Command) {
	for _, c := range commands {
		if len(a.args) > 0 && a.args[0] == c.name {
			return []*cobra.Command{c.make(a)}
		}
	}
	for _, c := range commands {
		all = append(all, c.make(a))
	}
	return all
}

// noSuchCommand says that the first argument names no command below c.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usageError("unknown command %q", args[0])
	if c.HasParent() {
		err = usageError("unknown command %q for %s", args[0], c.CommandPath())
	}
	c.SuggestionsMinimumDistance = c.Root().SuggestionsMinimumDistance
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		path := c.CommandPath() + " "
		return err.withHint("did you mean: " + path + strings.Join(near, ", "+path))
	}
	return err.withHint("run: " + c.CommandPath() + " --help")
}

// prepare checks the global flags and starts profiles before a command runs.
func (a *app) prepare(c *cobra.Command) error {
	a.command, a.safe = c.CommandPath(), c.Annotations[safeNote]
	if a.global.quiet && a.global.verbose > 0 {
		return usageError("--quiet and --verbose exclude each other")
	}
	for _, name := range neverEmpty {
		if f := c.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return usageError("--%s has no value", name).withHint("is a variable empty? without the flag, variables and defaults hold")
		}
	}
	return a.startProfiles()
}

// neverEmpty are flags that name something: without a value they would stand for another place or key than was meant.
var neverEmpty = []string{"repo", "repository-file", "password-file", "password-command", "identity-file",
	"from-repo", "from-repository-file", "from-password-file", "from-password-command", "from-identity-file",
	"new-password-file", "new-password-command", "recipient", "config"}

// safeNote is the annotation of a command that says what is safe when it fails.
const safeNote = "safe"

func safe(note string) map[string]string { return map[string]string{safeNote: note} }

// logger returns a logger that prints what is degraded but correct.
func (a *app) logger() *slog.Logger { return slog.New(&logHandler{app: a}) }

// terminal reports whether the bar and colours may be used on a stream.
func terminal(stream any) bool { return term.IsTerminal(stream) }

// colours reports whether text on a stream may be coloured.
func (a *app) colours(stream any) bool {
	return terminal(stream) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}
