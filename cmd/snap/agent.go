package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

// agentCommandLine is what a server asks the SSH server to run, unless it is configured otherwise.
const agentCommandLine = "snap agent"

// agentMemory is where the collector of an agent begins to work harder.
const agentMemory = 34 << 20

type agentFlags struct {
	policy string
	roots  []string
	keeper bool
}

func (a *app) agentCommand() *cobra.Command {
	var f agentFlags
	c := &cobra.Command{
		Use:     "agent [--policy FILE | --root DIR...]",
		GroupID: "pull",
		Short:   "Answer a backup server, on a machine that is pulled from",
		Long: `Answer what a backup server asks, on standard input and output. It is started by the
SSH server, as the forced command of the key that the backup server uses:

    restrict,command="/usr/local/bin/snap agent" ssh-ed25519 AAAA…

The policy says what may be read and which commands may be run. It has to
belong to root, in folders that only root can change:

    roots: [/etc, /home, /var/www]
    exclude: [/home/*/.cache]
    streams:
      crm.sql: {kind: postgresql, settings: {database: crm, as: postgres}}
    snapshots:
      srv:
        create: [btrfs, subvolume, snapshot, -r, /srv, /srv/.snap-pull]
        remove: [btrfs, subvolume, delete, /srv/.snap-pull]

These fields there are:

  roots           folders and files that may be read, with all below
  devices         block devices and disk images that may be read as data
  exclude         patterns, as of snap backup, of what may not be read in the roots
  streams         commands whose output may be read, by name: kind is postgresql, mysql,
                  mariadb, sqlite or command; settings go with the databases, command: [...]
                  with the last; env adds to the environment
  snapshots       file-system snapshots, by name: create and remove are commands, env their
                  environment, timeout_seconds the time that each may take (300)
  rate_limit      bytes that may be sent a second, at least 65536; 0 for no limit
  writable        folders that the commands may write in
  new_privileges  true lets the commands gain rights, as with sudo; Landlock is off then

Settings are database, host, port, user, as (the system's user to run the dump as) and
program; socket and defaults_file for MySQL and MariaDB, passfile for PostgreSQL; for SQLite
file and program. No shell sees a command.

A snapshot is made before files are read, and removed after, also if the connection
is lost or the agent is killed. The folder where it can be read is one of the roots.

The agent never writes: where the kernel has Landlock it cannot. It keeps nothing
between two runs, and holds no secret of the repository.`,
		Example: `  snap agent check
  snap agent --policy /etc/snap/agent.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.agent(c.Context(), &f) },
	}
	c.PersistentFlags().StringVar(&f.policy, "policy", "", "`file` with what is allowed (default "+agent.DefaultPolicy+")")
	c.PersistentFlags().StringArrayVar(&f.roots, "root", nil, "allow `path` to be read, without a policy (repeatable)")
	c.Flags().BoolVar(&f.keeper, "keeper", false, "make and remove snapshots for an agent")
	if err := c.Flags().MarkHidden("keeper"); err != nil {
		panic("snap: internal error: " + err.Error())
	}
	c.AddCommand(&cobra.Command{
		Use:     "check",
		Short:   "Check the policy and show what it allows",
		Example: "  snap agent check --policy /etc/snap/agent.yaml",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.agentCheck(&f) },
	})
	return c
}

// readPolicy returns the policy that the flags name, and where it stands.
func (f *agentFlags) readPolicy() (*agent.Policy, string, error) {
	if len(f.roots) > 0 {
		if f.policy != "" {
			return nil, "", usageError("give one of --policy and --root")
		}
		p := &agent.Policy{Roots: f.roots}
		if err := p.Check(); err != nil {
			return nil, "", usageError("%v", err)
		}
		return p, "", nil
	}
	name := f.policy
	if name == "" {
		name = agent.DefaultPolicy
	}
	p, err := agent.ReadPolicy(name)
	if err != nil {
		return nil, "", fail(exitRefused, "%w", err).withHint("see: snap agent --help")
	}
	return p, name, nil
}

func (a *app) agent(ctx context.Context, f *agentFlags) error {
	if asked := a.getenv("SSH_ORIGINAL_COMMAND"); asked != "" && asked != agentCommandLine {
		return fail(exitRefused, "this key is for %q only, not for %q", agentCommandLine, asked).withHint("use another key for other work")
	}
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(in) {
		return usageError("the agent talks to a backup server, not to a person").withHint("to see what it would allow: snap agent check")
	}
	policy, place, err := f.readPolicy()
	if err != nil {
		return err
	}
	if f.keeper {
		return agent.Keep(policy, place, a.stdin, a.stdout)
	}
	var keeper *agent.Keeper
	if len(policy.Snapshots) > 0 {
		if keeper, err = startKeeper(place); err != nil {
			return err
		}
		defer keeper.Close() // what it could not remove it tries again at the next pull
	}
	debug.SetMemoryLimit(agentMemory)
	enforced, err := agent.Restrict(policy)
	if err != nil {
		return fail(exitFatal, "give up the right to write: %w", err)
	}
	err = agent.Serve(ctx, a.stdin, a.stdout, agent.Options{Policy: policy, Place: place, Program: "snap " + version, Enforced: enforced, Keeper: keeper})
	if errors.Is(err, os.ErrClosed) {
		return nil // the server is gone
	}
	return err
}

// startKeeper starts this program as the keeper of snapshots, before the agent gives up its rights.
func startKeeper(policy string) (*agent.Keeper, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return agent.StartKeeper(exec.Command(program, "agent", "--keeper", "--policy", policy))
}

// agentCheck shows what a policy allows.
func (a *app) agentCheck(f *agentFlags) error {
	p, place, err := f.readPolicy()
	if err != nil {
		return err
	}
	if a.global.json {
		type stream struct {
			Name string `json:"name"`
			Kind string `json:"kind"`
		}
		out := struct {
			MessageType string   `json:"message_type"`
			Policy      string   `json:"policy,omitempty"`
			Roots       []string `json:"roots"`
			Devices     []string `json:"devices,omitempty"`
			Exclude     []string `json:"exclude,omitempty"`
			Streams     []stream `json:"streams,omitempty"`
			Snapshots   []string `json:"snapshots,omitempty"`
		}{MessageType: "policy", Policy: place, Roots: p.Roots, Devices: p.Devices, Exclude: p.Exclude, Snapshots: slices.Sorted(maps.Keys(p.Snapshots))}
		for _, name := range slices.Sorted(maps.Keys(p.Streams)) {
			out.Streams = append(out.Streams, stream{name, p.Streams[name].Kind})
		}
		return a.jsonLine(out)
	}
	for _, list := range []struct {
		what  string
		items []string
	}{{"may be read", p.Roots}, {"may be read as data", p.Devices}, {"is left out", p.Exclude}} {
		for _, item := range list.items {
			a.printf("%-20s %s", list.what, item)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Streams)) {
		s := p.Streams[name]
		what := s.Kind
		if len(s.Command) > 0 {
			what = strings.Join(s.Command, " ")
		}
		a.printf("%-20s %s", "may be run", fmt.Sprintf("%s: %s", name, what))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Snapshots)) {
		s := p.Snapshots[name]
		a.printf("%-20s %s: %s; then: %s", "may be made", name, strings.Join(s.Create, " "), strings.Join(s.Remove, " "))
	}
	return nil
}
