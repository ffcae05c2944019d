package config

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSalvageReadsHooksOfWhatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("defaults.yaml", "repository: [nonsense]\ndefaults:\n  evry: 1d\n  hooks:\n    after_failure: [mail me]\n    finally: 7\n    timeout: 5s\n    unknown: x\n", 0o600)
	write("sources.yaml", "sources:\n  web: {address: 3, paths: nowhere}\n  own: {hooks: {after_failure: [[ping, own]], before: ['\"']}}\n  quiet: {hooks: {after_failure: []}}\n  odd: 7\n", 0o600)
	write("torn.yaml", "sources: {torn: {hooks: {after_failure: [mail", 0o600)
	write("anybody.yaml", "sources: {evil: {hooks: {after_failure: [evil]}}}", 0o602)
	if _, err := Load(dir); err == nil {
		t.Fatal("it can be used")
	}
	c := Salvage(dir)
	got := map[string][]Command{"": c.Defaults.Hooks.AfterFailure}
	for name, s := range c.Sources {
		if got[name] = s.Hooks.AfterFailure; s.Hooks.Finally != nil || s.Hooks.Before != nil || s.Hooks.Timeout.Or(0) != 5*time.Second {
			t.Errorf("%s: %+v", name, s.Hooks)
		}
	}
	me := []Command{{"mail", "me"}}
	if diff := cmp.Diff(map[string][]Command{"": me, "web": me, "odd": me, "own": {{"ping", "own"}}, "quiet": {}}, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{dir + "/nowhere", dir + "/torn.yaml", dir + "/anybody.yaml", "/dev/null"} {
		if c := Salvage(name); len(c.Sources) != 0 || c.Defaults.Hooks.AfterFailure != nil || c.Parallel == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
