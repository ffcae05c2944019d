package main

import (
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
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("unknown command %q for %s", args[0], c.CommandPath()).withHint("run: " + c.CommandPath() + " --help")
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(children...)
	return c
}
