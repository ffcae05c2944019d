package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/enrol"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

type installFlags struct {
	paths, devices, streams  []string
	name, user, rights, from string
	identity, knownHosts     string
	admin, adminIdentity     string
	program, policyFile      string
	adminSudo, yes, dryRun   bool
	address                  sshconn.Address // of the pull
	policy, publicKey        string
}

func (a *app) sourceInstallCommand() *cobra.Command {
	var f installFlags
	c := &cobra.Command{
		Use:   "install SOURCE|HOST",
		Short: "Set a machine up as a source",
		Long: `Set a machine up to be pulled from: a user who can log in by the key of the pull only,
the program, a policy that belongs to root, and one line in authorized_keys that
allows one command. Each step is shown, with its script, before it is done.

It logs in as an administrator (root, or another with --admin and --admin-sudo), with
the keys that ssh would use for that. This login serves nothing else: the pull has a
key of its own, which is made if it is not there. The host's key has to be known
already: log in once with ssh, and compare.

With the name of a source in the configuration, address and paths are those of the
source. Else they are given here, and what belongs into the configuration is printed,
or written if the configuration is a folder.

Rights: "capability" (the default) lets a copy of the program, which only the user of
the pull may run, read all files; it leads to nothing else. "sudo" runs the agent as
root, which dumps need that run as another user. "user" reads what the user may read.`,
		Example: `  snap source install web1.example.org --path /etc --path /srv --dry-run
  snap source install web1.example.org --path /etc --path /srv
  snap source install web1.example.org --rights sudo --path /srv --stream crm.sql=postgresql:database=crm,as=postgres
  snap source install web1 --rights sudo --admin ops@web1.example.org --admin-sudo`,
		Args:        between(1, 1, "source or host"),
		Annotations: safe("what was done until then can be done again: run the same command once more"),
		RunE:        func(c *cobra.Command, args []string) error { return a.sourceInstall(c.Context(), args[0], &f) },
	}
	fs := c.Flags()
	fs.StringArrayVar(&f.paths, "path", nil, "`path` to pull (repeatable)")
	fs.StringArrayVar(&f.streams, "stream", nil, "`stream` to pull, as NAME=KIND:KEY=VALUE,… or NAME, whose command you add to the policy (repeatable)")
	fs.StringVar(&f.name, "name", "", "`name` of the source (default the host)")
	fs.StringVar(&f.user, "user", enrol.DefaultUser, "`name` of the user that the pull logs in as")
	fs.StringVar(&f.rights, "rights", string(enrol.RightsCapability), "capability, sudo or user")
	fs.StringVar(&f.from, "from", "", "`addresses` that the key is good from, or any (default the one that the machine sees this server by)")
	fs.StringVar(&f.identity, "identity", "", "`file` with the private key of the pull (default that of the source, else ~/.config/snap/pull_ed25519)")
	fs.StringVar(&f.knownHosts, "known-hosts", "", "`file` with the keys of hosts (default those of the source, else as ssh)")
	fs.StringVar(&f.admin, "admin", "", "`[user@]host[:port]` to log in to as administrator (default root at the host)")
	fs.StringVar(&f.adminIdentity, "admin-identity", "", "`file` with the administrator's private key (default as ssh)")
	fs.BoolVar(&f.adminSudo, "admin-sudo", false, "the administrator becomes root by sudo")
	fs.StringVar(&f.program, "program", "", "`file` that is installed (default this program)")
	fs.StringVar(&f.policyFile, "policy", "", "`file` with the policy (default one that allows the paths)")
	fs.BoolVarP(&f.dryRun, "dry-run", "n", false, "show what would be done")
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) sourceInstall(ctx context.Context, what string, f *installFlags) error {
	if !f.yes && !f.dryRun && !terminal(a.stdin) {
		return usageError("nobody can be asked here").withHint("look at the steps with --dry-run, then give --yes")
	}
	known, err := a.gatherWish(what, f)
	if err != nil {
		return err
	}
	admin, err := a.adminHost(f)
	if err != nil {
		return err
	}
	facts := &enrol.Facts{}
	if !f.dryRun {
		if facts, err = admin.Look(ctx); err != nil {
			a.safe = "nothing was done there"
			return fail(installCode(err), "log in as administrator: %w", err).withHint(loginHint(f, err))
		}
		if err := suits(facts, f); err != nil {
			return err
		}
	}
	wish := enrol.Wish{User: f.user, Rights: enrol.Rights(f.rights), Key: f.publicKey, From: f.from, Policy: f.policy}
	switch f.from {
	case "":
		wish.From = facts.From
	case "any":
		wish.From = ""
	}
	steps, err := wish.Plan()
	if err != nil {
		return usageError("%v", err)
	}
	if err := a.installSteps(ctx, admin, steps, f); err != nil || f.dryRun {
		return err
	}
	if err := a.tryInstalled(ctx, f); err != nil {
		return err
	}
	if known {
		return nil
	}
	return a.addToConfig(f)
}

// loginHint says what to do about an administrator's login that failed.
func loginHint(f *installFlags, err error) string {
	if errors.Is(err, sshconn.ErrHostKey) {
		return pullHint(f.name, exitHostKey, err)
	}
	return "try the login itself: ssh " + f.admin
}

func installCode(err error) int {
	code, _ := pullCode(&pull.Result{Err: err})
	return code
}

// gatherWish completes the flags, and reports whether the source is configured already.
func (a *app) gatherWish(what string, f *installFlags) (known bool, err error) {
	address := what
	if conf, confErr := a.loadConfig(); confErr == nil {
		if c, ok := conf.Sources[what]; ok {
			if c.Transport == config.TransportLocal {
				return true, errHere(what)
			}
			known, address, f.name = true, c.Address, what
			for _, p := range c.Paths {
				if !slices.Contains(f.paths, p) {
					f.paths = append(f.paths, p)
				}
			}
			f.devices = c.Devices
			for _, s := range c.Streams {
				if !slices.ContainsFunc(f.streams, func(given string) bool { return given == s.Name || strings.HasPrefix(given, s.Name+"=") }) {
					f.streams = append(f.streams, s.Name)
				}
			}
			f.identity, f.knownHosts = orElse(f.identity, c.SSH.Identity), orElse(f.knownHosts, c.SSH.KnownHosts)
		}
	}
	if f.address, err = sshconn.ParseAddress(address); err != nil {
		return known, usageError("%s: %v", what, err)
	}
	if f.admin == "" {
		at := f.address
		at.User = "root"
		f.admin = at.String()
	}
	if f.name == "" {
		f.name = f.address.Host
	}
	f.address.User = f.user
	if f.identity == "" {
		dir, err := a.configFolder()
		if err != nil {
			return known, err
		}
		f.identity = filepath.Join(dir, "pull_ed25519")
	}
	return known, a.gatherTexts(f)
}

// gatherTexts reads or makes the key, and the policy.
func (a *app) gatherTexts(f *installFlags) error {
	for _, p := range f.paths {
		if !filepath.IsAbs(p) || filepath.Clean(p) != p {
			return usageError("path %q: it has to be absolute, in its shortest form", p)
		}
	}
	if f.policyFile != "" {
		text, err := os.ReadFile(f.policyFile)
		if err != nil {
			return err
		}
		f.policy = string(text)
	} else {
		if len(f.paths)+len(f.devices)+len(f.streams) == 0 {
			return usageError("name what may be read: --path, or --policy").withHint("for instance: --path /etc --path /srv")
		}
		streams, err := f.policyStreams()
		if err != nil {
			return err
		}
		text, err := enrol.PolicyText(f.paths, f.devices, streams)
		if err != nil {
			return err
		}
		if _, err := agent.ParsePolicy([]byte(text)); err != nil {
			return usageError("no agent would take this policy: %v", err)
		}
		f.policy = text
	}
	if f.dryRun {
		if _, err := os.Stat(f.identity); err != nil {
			f.publicKey = "ssh-ed25519 KEY-THAT-WILL-BE-MADE snap-pull"
			return nil
		}
	}
	line, made, err := enrol.PullKey(f.identity)
	if err != nil {
		return err
	}
	if f.publicKey = line; made {
		a.notef("made the key of the pull: %s", term.Name(f.identity))
	}
	return nil
}

func (f *installFlags) policyStreams() (all []enrol.PolicyStream, err error) {
	for _, word := range f.streams {
		s, err := enrol.ParseStream(word)
		if err != nil {
			return nil, usageError("%v", err)
		}
		all = append(all, s)
	}
	return all, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (a *app) adminHost(f *installFlags) (*enrol.Host, error) {
	at, err := sshconn.ParseAddress(f.admin)
	if err != nil {
		return nil, usageError("--admin: %v", err)
	}
	o := sshconn.Options{}
	if f.adminIdentity != "" {
		o.Identities = []string{f.adminIdentity}
	}
	if f.knownHosts != "" {
		o.KnownHosts = []string{f.knownHosts}
	}
	d, err := sshconn.New(at, o)
	return &enrol.Host{Dialer: d, Sudo: f.adminSudo}, err
}

// suits says by an error why this program cannot be put on the machine.
func suits(facts *enrol.Facts, f *installFlags) error {
	if !facts.Root {
		return fail(exitRefused, "the administrator's scripts do not run as root").withHint("log in as root, or add --admin-sudo")
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}[runtime.GOARCH]
	if f.program == "" && facts.Machine != "Linux "+arch {
		return usageError("the machine is a %s, and this program is for Linux %s", facts.Machine, arch).withHint("give one that is made for it: --program FILE")
	}
	return nil
}

// installSteps shows the steps, asks, and does them.
func (a *app) installSteps(ctx context.Context, admin *enrol.Host, steps []enrol.Step, f *installFlags) error {
	for i, s := range steps {
		a.printf("# step %d of %d on %s: %s", i+1, len(steps), f.admin, s.Title)
		for line := range strings.Lines(s.Script) {
			a.printf("    %s", term.Line(strings.TrimSuffix(line, "\n")))
		}
	}
	if f.dryRun {
		return nil
	}
	if !f.yes {
		if ok, err := a.confirm(fmt.Sprintf("do %s?", term.Count(int64(len(steps)), "step"))); !ok || err != nil {
			return err
		}
	}
	for i, s := range steps {
		if err := runStep(ctx, admin, s, f); err != nil {
			return fail(exitFatal, "step %d of %d (%s): %w", i+1, len(steps), s.Title, err).withHint("mend it on the machine, then run the same command again")
		}
		a.notef("done: %s", s.Title)
	}
	return nil
}

func runStep(ctx context.Context, admin *enrol.Host, s enrol.Step, f *installFlags) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var upload io.Reader
	if s.Upload {
		name := f.program
		if name == "" {
			own, err := os.Executable()
			if err != nil {
				return err
			}
			name = own
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		upload = file
	}
	_, err := admin.Run(ctx, s.Script, upload)
	return err
}

// sourceOf is the source as it belongs into the configuration.
func (f *installFlags) sourceOf() config.Source {
	c := config.Source{Address: f.address.String(), Paths: f.paths, Devices: f.devices, SSH: config.SSH{Identity: f.identity, KnownHosts: f.knownHosts}}
	streams, _ := f.policyStreams() // they were parsed before
	for _, s := range streams {
		c.Streams = append(c.Streams, config.Stream{Name: s.Name, Kind: s.Kind})
	}
	return c
}

// tryInstalled connects as the pull will.
func (a *app) tryInstalled(ctx context.Context, f *installFlags) error {
	c := f.sourceOf()
	c.Transport = config.TransportAgent
	report, err := pull.Look(ctx, f.name, &c)
	code, _ := pullCode(&pull.Result{Err: err})
	if err != nil {
		return fail(code, "all steps were done, but the pull cannot connect: %w", err).withHint("try again with: snap source test " + f.name)
	}
	if len(report.Missing) > 0 {
		a.notef("what is MISSING below has to be there before a pull; streams are completed in %s there, or given here: --stream NAME=KIND:KEY=VALUE", enrol.PolicyFile)
	}
	return a.tested(f.name, report, exitOK, nil)
}

// addToConfig prints what belongs into the configuration, or writes it if that is a folder.
func (a *app) addToConfig(f *installFlags) error {
	text, err := config.Show(&config.Config{Sources: map[string]config.Source{f.name: f.sourceOf()}})
	if err != nil {
		return err
	}
	if name, err := a.configFile(); err == nil {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			place := filepath.Join(name, f.name+".yaml")
			file, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			defer file.Close()
			if _, err := file.WriteString(text); err != nil {
				return err
			}
			a.notef("wrote %s; next: snap source audit %s", term.Name(place), term.Name(f.name))
			return file.Sync()
		}
	}
	a.notef("add this to the configuration; then: snap source audit %s", term.Name(f.name))
	a.printf("%s", strings.TrimRight(text, "\n"))
	return nil
}
