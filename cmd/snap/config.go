package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		GroupID: "pull",
		Short:   "Check and show the configuration of pulls",
		Long: `The configuration says where the repository is and what is pulled from where. It is
one YAML file, or a folder whose *.yaml files are taken together: --config,
SNAP_CONFIG, ~/.config/snap/snap.yaml or /etc/snap/snap.yaml.`,
		Example: "  snap config example > /etc/snap/snap.yaml\n  snap config validate",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:     "validate",
		Short:   "Check the configuration",
		Example: "  snap config validate --config /etc/snap/snap.yaml",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.configValidate() },
	}, &cobra.Command{
		Use:     "show",
		Short:   "Show what holds for each source, with the defaults filled in",
		Example: "  snap config show",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.configShow() },
	}, &cobra.Command{
		Use:     "example",
		Short:   "Print a commented example",
		Example: "  snap config example > ~/.config/snap/snap.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			a.printf("%s", strings.TrimSpace(config.Example))
			return nil
		},
	}, &cobra.Command{
		Use:     "schema",
		Short:   "Print a JSON schema, for editors",
		Example: "  snap config schema > snap.schema.json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			a.printf("%s", text)
			return nil
		},
	})
	return c
}

func (a *app) configValidate() error {
	name, err := a.configFile()
	if err != nil {
		return err
	}
	conf, err := a.loadConfig()
	if err != nil {
		return err
	}
	if a.global.json {
		return a.jsonLine(map[string]any{"message_type": "config", "file": name, "sources": slices.Sorted(maps.Keys(conf.Sources))})
	}
	a.printf("%s is good: %s", name, term.Count(int64(len(conf.Sources)), "source"))
	return nil
}

func (a *app) configShow() error {
	conf, err := a.loadConfig()
	if err != nil {
		return err
	}
	if a.global.json {
		values, err := config.Values(conf)
		if err != nil {
			return err
		}
		return a.jsonLine(values)
	}
	text, err := config.Show(conf)
	if err != nil {
		return err
	}
	a.printf("%s", strings.TrimSpace(text))
	return nil
}
