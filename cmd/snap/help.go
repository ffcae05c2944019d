package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noArgs, exactly and atLeast check how many arguments a command has.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no argument, got %q", c.CommandPath(), args[0]).withHint("run: " + c.CommandPath() + " --help")
	}
	return nil
}

func between(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && (len(args) <= most || most < 0) {
			return nil
		}
		return usageError("%s: want %s, got %d arguments", c.CommandPath(), what, len(args)).
			withHint("usage: " + c.UseLine())
	}
}

// helpCommand is cobra's, with an error for topics that do not exist.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		Example: "  snap help backup\n  snap help exit-codes",
		RunE: func(_ *cobra.Command, args []string) error {
			if all {
				a.out.WriteString(reference(root))
				return nil
			}
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usageError("no help for %q", strings.Join(args, " ")).withHint("run: snap --help")
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
	c.Flags().BoolVar(&all, "all", false, "print the manual of all commands")
	c.Flags().Lookup("all").Hidden = true
	return c
}

// parent makes a command that only holds others.
func parent(c *cobra.Command, children ...*cobra.Command) *cobra.Command {
	c.Args = noSuchCommand
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(children...)
	return c
}

// plainUsage keeps "[flags]" out of the usage lines.
func plainUsage(c *cobra.Command) {
	c.DisableFlagsInUseLine = true
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
}

// variables is the table of help and manual.
var variables = []struct{ name, meaning string }{
	{"SNAP_REPOSITORY", "place of the repository, as --repo"},
	{"SNAP_REPOSITORY_FILE", "file with the place, as --repository-file"},
	{"SNAP_PASSWORD_FD", "file descriptor to read the passphrase from"},
	{"SNAP_PASSWORD_COMMAND", "command that prints the passphrase"},
	{"SNAP_PASSWORD_FILE", "file with the passphrase"},
	{"SNAP_IDENTITY_FILE", "file of age identities, or an SSH private key"},
	{"SNAP_PASSWORD", "the passphrase; other processes may see it"},
	{"SNAP_FROM_REPOSITORY", "place of the repository to copy from, as --from-repo; SNAP_FROM_REPOSITORY_FILE, SNAP_FROM_PASSWORD_FILE and the like as without FROM_"},
	{"SNAP_CONFIG", "file or folder with the configuration of pulls, as --config"},
	{"SNAP_CACHE_DIR", "folder for copies of the index, and of metadata of stores elsewhere"},
	{"SNAP_CACHE_SIZE", "how much metadata of each repository elsewhere is kept"},
	{"SNAP_COMPRESSION", "as --compression"},
	{"SNAP_PACK_SIZE", "as --pack-size"},
	{"SNAP_SSH_COMMAND", "as --ssh-command"},
	{"SNAP_S3_STORAGE_CLASS", "as --s3-storage-class"},
	{"SNAP_WARM_UP", "as --warm-up"},
	{"SNAP_CONNECTIONS", "as --connections"},
	{"SNAP_SPOOL_DIR", "as --spool-dir"},
	{"AWS_ACCESS_KEY_ID", "with AWS_SECRET_ACCESS_KEY, AWS_PROFILE and the like: credentials for S3 stores"},
	{"SNAP_READ_CONCURRENCY", "as backup --read-concurrency"},
	{"SNAP_HOST", "host name in new snapshots"},
	{"SNAP_PROGRESS_FPS", "how often a second progress is shown"},
	{"NO_COLOR", "if set, nothing is coloured"},
	{"XDG_DATA_HOME", "where the default repository is, in snap/repository (default ~/.local/share)"},
	{"XDG_CONFIG_HOME", "where its key is, in snap/key, and the configuration of pulls, in snap/snap.yaml (default ~/.config)"},
	{"XDG_STATE_HOME", "where it is noted what check has verified, which snapshots this machine has seen, and what pulls are under way, in snap (default ~/.local/state)"},
	{"XDG_CACHE_HOME", "where caches are, in snap (default ~/.cache)"},
}

// jsonRules say what --json prints.
const jsonRules = `With --json results are JSON on standard output, and errors and warnings are JSON on standard
error, one value a line. Fields are named as restic names them where it has them; more may be
added. Sizes are bytes, times as in RFC 3339. A name that is not UTF-8 stands a second time,
as base64, in a field whose name ends in _b64.

Listings are one array: snapshots, find, history, forget, undelete, policy show, retention
explain, lock report, key list, log, and cache. stats, settings show, config show and
retention simulate print one object. All else prints objects that say by message_type what
they are:`

// messageTypes is the table of what message_type says.
var messageTypes = []struct{ name, meaning string }{
	{"status", "progress: percent_done, files_done, bytes_done, error_count and the like"},
	{"verbose_status", "backup -v and restore -v: what became of one file"},
	{"excluded_item", "backup -vv: what was left out, and why"},
	{"summary", "the result of backup, restore, copy, check, scrub, repair, prune, pull, replicate, space, tag or undelete"},
	{"initialized", "init, and the first backup: the repository that was made"},
	{"snapshot, node", "ls: the snapshot, then each entry"},
	{"change, statistics", "diff: each path that differs, then the sums"},
	{"copied, skipped, failed", "copy: what became of each snapshot"},
	{"pulled", "pull: what became of each source, with its result and code"},
	{"source, source_test, audit", "source list, source test, source audit"},
	{"verified", "verify: what was compared of a source"},
	{"locks", "lock extend, forget and prune: how files are locked"},
	{"key", "key add, remove and passwd"},
	{"config, policy, version", "config validate, agent check, version"},
	{"warning", "on standard error: wrong, but it ended nothing"},
	{"command_output", "on standard error: a line that a stream's, password or warm-up command printed there"},
	{"error", "on standard error: a problem with one file, in error.message, during and item"},
	{"exit_error", "on standard error: why the program failed, with code, message and hint"},
}

// jsonCommand is a help topic.
func (a *app) jsonCommand() *cobra.Command {
	var b strings.Builder
	b.WriteString(jsonRules + "\n\n")
	for _, m := range messageTypes {
		fmt.Fprintf(&b, "  %-24s %s\n", m.name, m.meaning)
	}
	return &cobra.Command{Use: "json", Short: "What --json prints", Long: strings.TrimRight(b.String(), "\n")}
}

// precedence says what holds where several things say the same.
const precedence = "Flags win over variables, and both over the configuration. Of several variables that give a key the first one here is taken."

// environmentCommand is a help topic.
func (a *app) environmentCommand() *cobra.Command {
	var b strings.Builder
	b.WriteString(precedence + "\n\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "  %-24s %s\n", v.name, v.meaning)
	}
	return &cobra.Command{Use: "environment", Short: "What the environment variables mean", Long: strings.TrimRight(b.String(), "\n")}
}
