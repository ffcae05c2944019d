package pull_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/repo"
)

// TestAPullThatHangsIsTold begins a pull while another one has the lock of the source: within the time that this one may take nobody
// is told, and behind that the hooks run.
func TestAPullThatHangsIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/file", "text")
	p := puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{
		"x": parse(t, "transport: local\npaths: ["+dir+"/file]\nlimits: {time: 10h}\nhooks: {after_failure: [touch "+dir+"/told]}")})
	p.StateDir = dir + "/state"
	if res := p.Run(t.Context(), []string{"x"}, nil)[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	locks, err := filepath.Glob(p.StateDir + "/pull/*/*.lock")
	if err != nil || len(locks) != 1 {
		t.Fatalf("%q, %v", locks, err)
	}
	held, err := os.Open(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		age  time.Duration
		told bool
	}{{0, false}, {9 * time.Hour, false}, {12 * time.Hour, true}} {
		begun := time.Now().Add(-test.age)
		if err := os.Chtimes(locks[0], begun, begun); err != nil {
			t.Fatal(err)
		}
		res := p.Run(t.Context(), []string{"x"}, nil)[0]
		_, statErr := os.Stat(dir + "/told")
		if told := statErr == nil; !errors.Is(res.Err, pull.ErrRunning) || errors.Is(res.Err, pull.ErrTimeout) != test.told || told != test.told {
			t.Errorf("after %v: told %v, %v", test.age, told, res.Err)
		}
	}
}

func TestFailRunsTheHooksOfAllSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tell := func(word string) []config.Command {
		return []config.Command{{"sh", "-c", `echo ` + word + ` "$SNAP_SOURCE:$SNAP_RESULT:$SNAP_ERROR" >> ` + dir + "/told-$SNAP_SOURCE"}}
	}
	c := &config.Config{Defaults: config.Source{Hooks: config.Hooks{AfterFailure: tell("default")}}, Sources: map[string]config.Source{
		"one":   {Hooks: config.Hooks{Before: tell("before"), AfterFailure: tell("failure"), AfterSuccess: tell("success"), Finally: tell("finally")}},
		"two":   {Hooks: config.Hooks{AfterFailure: []config.Command{{"false"}, tell("failure")[0]}}},
		"other": {Hooks: config.Hooks{AfterFailure: tell("failure")}}}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := pull.Fail(ctx, c, []string{"one", "two", "none"}, errors.New("no\nway"))
	if err == nil || !strings.Contains(err.Error(), `two: hook "false": exit status 1`) {
		t.Errorf("a hook that fails: %v", err)
	}
	for name, want := range map[string][]string{"one": {"failure one:failure:no way", "finally one:failure:no way"}, "two": {"failure two:failure:no way"},
		"none": {"default none:failure:no way"}} {
		told, err := os.ReadFile(dir + "/told-" + name)
		if got := strings.Split(strings.TrimSpace(string(told)), "\n"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(dir + "/told-other"); err == nil {
		t.Error("a source that was not to be pulled is told of")
	}
}

// TestHooksHearOfLongErrors: a source that says more than a variable can hold keeps nobody from being told.
func TestHooksHearOfLongErrors(t *testing.T) {
	t.Parallel()
	told := filepath.Join(t.TempDir(), "told")
	c := &config.Config{Sources: map[string]config.Source{"x": {Hooks: config.Hooks{Finally: []config.Command{{"sh", "-c", `printf %s "$SNAP_ERROR" > ` + told}}}}}}
	if err := pull.Fail(t.Context(), c, []string{"x"}, errors.New("no way: "+strings.Repeat("x\n", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(told); err != nil || !strings.HasPrefix(string(got), "no way: x x") || len(got) > 17<<10 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestDryRunIsNoSuccess: who waits for a sign of success waits for a snapshot.
func TestDryRunIsNoSuccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/file", "text")
	p := puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{"x": parse(t, "transport: local\npaths: ["+dir+"]\nhooks: {before: [touch "+dir+"/before], after_success: [touch "+
		dir+"/success], finally: [touch "+dir+"/finally]}")})
	for _, dry := range []bool{true, false} {
		p.DryRun = dry
		if res := p.Run(t.Context(), []string{"x"}, nil)[0]; res.Err != nil {
			t.Fatal(res.Err)
		}
		for name, want := range map[string]bool{"before": true, "success": !dry, "finally": true} {
			if _, err := os.Stat(dir + "/" + name); (err == nil) != want {
				t.Errorf("dry run %v: %s: %v", dry, name, err)
			}
		}
	}
}
