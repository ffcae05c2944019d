package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  snap version\n  snap version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.global.json {
				return a.jsonLine(struct {
					MessageType string `json:"message_type"`
					Version     string `json:"version"`
					Go          string `json:"go_version"`
					OS          string `json:"go_os"`
					Arch        string `json:"go_arch"`
				}{"version", version, runtime.Version(), runtime.GOOS, runtime.GOARCH})
			}
			a.printf("snap %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a completion script for a shell",
		Example: `  source <(snap completion bash)
  snap completion zsh > "${fpath[1]}/_snap"
  snap completion fish > ~/.config/fish/completions/snap.fish`,
		Args:      between(1, 1, "bash, zsh or fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return c.Root().GenZshCompletion(a.out)
			case "fish":
				return c.Root().GenFishCompletion(a.out, true)
			}
			return usageError("completion: no script for %q: want bash, zsh or fish", args[0])
		},
	}
}
