package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// reference returns the manual of all commands in Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line reference\n\nMade from the commands themselves: `go test ./cmd/snap -run Reference -update` writes it.\n\n")
	fmt.Fprintf(&b, "%s\n\n## Flags of all commands\n\n```\n%s```\n", root.Long, root.PersistentFlags().FlagUsages())
	for _, c := range root.Commands() {
		if !c.Hidden && c.Runnable() {
			describeCommand(&b, c, 2)
		}
	}
	b.WriteString("\n## Environment\n\n" + precedence + "\n\n| variable | meaning |\n| --- | --- |\n")
	for _, v := range variables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.meaning)
	}
	b.WriteString("\n## JSON\n\n" + jsonRules + "\n\n| message_type | meaning |\n| --- | --- |\n")
	for _, m := range messageTypes {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(m.name, ", ", "`, `"), m.meaning)
	}
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n| ---: | --- |\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.meaning)
	}
	return b.String()
}

func describeCommand(b *strings.Builder, c *cobra.Command, level int) {
	fmt.Fprintf(b, "\n%s %s\n\n", strings.Repeat("#", level), c.CommandPath())
	if c.HasSubCommands() {
		if c.HasAvailableLocalFlags() {
			fmt.Fprintf(b, "    %s\n\n", c.UseLine())
		}
		fmt.Fprintf(b, "%s\n", longOrShort(c))
		if c.HasAvailableLocalFlags() {
			fmt.Fprintf(b, "\n```\n%s```\n\nExamples:\n\n```\n%s\n```\n", c.LocalFlags().FlagUsages(), c.Example)
		}
		for _, sub := range c.Commands() {
			describeCommand(b, sub, level+1)
		}
		return
	}
	fmt.Fprintf(b, "    %s\n\n%s\n", c.UseLine(), longOrShort(c))
	if flags := c.LocalFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "\n```\n%s```\n", flags.FlagUsages())
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", c.Example)
	}
}

func longOrShort(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}
