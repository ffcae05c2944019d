package main

import "testing"

// TestOneCommandIsMadeAsAmongAll compares each command that is made alone with the one that stands among all.
func TestOneCommandIsMadeAsAmongAll(t *testing.T) {
	all := commandLine()
	if got := len(all.Commands()); got < len(commands) {
		t.Errorf("%d commands, want %d at least", got, len(commands))
	}
	for _, c := range commands {
		a := &app{system: system{args: []string{c.name, "--help"}, getenv: func(string) string { return "" }}}
		if made := a.made(); len(made) != 1 || made[0].Name() != c.name {
			t.Errorf("%s: %d commands are made, the first is %s", c.name, len(made), made[0].Name())
		}
		alone, _, err := a.root().Find([]string{c.name})
		if err != nil {
			t.Fatal(err)
		}
		among, _, err := all.Find([]string{c.name})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := alone.Long+alone.UsageString(), among.Long+among.UsageString(); got != want {
			t.Errorf("%s: alone\n%s\namong all\n%s", c.name, got, want)
		}
	}
	for _, args := range [][]string{nil, {"list"}, {"--json", "agent"}, {"agnet"}, {"help", "agent"}, {"__complete", "ag"}} {
		a := &app{system: system{args: args}}
		if made := a.made(); len(made) != len(commands) {
			t.Errorf("%q: %d commands are made", args, len(made))
		}
	}
}
