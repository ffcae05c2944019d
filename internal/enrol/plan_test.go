package enrol

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHoeMDh2e snap-pull"

func TestPlanRefusesWhatAScriptCouldMisread(t *testing.T) {
	for name, w := range map[string]Wish{
		"user with a space":      {User: "a b", Key: testKey},
		"user that is an option": {User: "-x", Key: testKey},
		"user with a line break": {User: "a\nb", Key: testKey},
		"root":                   {User: "root", Key: testKey},
		"user with a dollar":     {User: "$HOME", Key: testKey},
		"no key":                 {},
		"key with a quote":       {Key: `ssh-ed25519 AAAA" command="sh`},
		"key of two lines":       {Key: testKey + "\nssh-ed25519 AAAA other"},
		"key with an option":     {Key: `command="sh" ssh-ed25519 AAAA`},
		"from with a quote":      {Key: testKey, From: `10.0.0.1",command="sh`},
		"from with a line break": {Key: testKey, From: "10.0.0.1\n"},
		"unknown rights":         {Key: testKey, Rights: "all"},
		"end of the policy":      {Key: testKey, Policy: "roots: [/]\nEND-OF-FILE\nid"},
	} {
		t.Run(name, func(t *testing.T) {
			if steps, err := w.Plan(); !errors.Is(err, ErrPlan) {
				t.Errorf("got %d steps and error %v, want ErrPlan", len(steps), err)
			}
		})
	}
}

func TestStepsAreScriptsThatAShellReads(t *testing.T) {
	for _, rights := range []Rights{"", RightsCapability, RightsSudo, RightsUser} {
		steps, err := Wish{Key: testKey, Rights: rights, From: "10.1.2.0/24,192.168.1.7", Policy: "roots: ['/srv/it''s']\n"}.Plan()
		if err != nil {
			t.Fatal(err)
		}
		uploads := 0
		for _, s := range steps {
			if out, err := exec.Command("sh", "-n", "-c", s.Script).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", s.Title, err, out)
			}
			if !strings.HasPrefix(s.Script, "set -eu\n") {
				t.Errorf("%s: the script goes on after an error", s.Title)
			}
			if s.Upload {
				uploads++
			}
		}
		if uploads != 1 {
			t.Errorf("rights %q: %d uploads", rights, uploads)
		}
	}
}

func TestLineAllowsOneCommand(t *testing.T) {
	for want, w := range map[string]Wish{
		`restrict,command="/usr/local/lib/snap/snap-agent agent" ` + testKey:      {Key: testKey},
		`restrict,from="10.0.0.1",command="/usr/local/bin/snap agent" ` + testKey: {Key: testKey, From: "10.0.0.1", Rights: RightsUser},
		`restrict,command="sudo -n /usr/local/bin/snap agent" ` + testKey:         {Key: testKey, Rights: RightsSudo},
	} {
		if got := w.Line(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPolicyTextIsOneThatAnAgentTakes(t *testing.T) {
	var streams []PolicyStream
	for _, word := range []string{"crm.sql=postgresql:database=crm,as=postgres", "shop.sql=mariadb", "later.sql"} {
		s, err := ParseStream(word)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	text, err := PolicyText([]string{"/srv/a: b", "/srv/#x"}, []string{"/dev/vg/db"}, streams)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- '/srv/a: b'\n", "- /srv/#x\n", "- /dev/vg/db\n", "crm.sql:\n", "as: postgres\n", `#  "later.sql": {kind: postgresql`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestParseStreamRefusesWhatIsNone(t *testing.T) {
	for _, word := range []string{"", "=postgresql", "a/b=postgresql", "crm.sql=postgresql:database", "crm.sql=postgresql:=x"} {
		if s, err := ParseStream(word); !errors.Is(err, ErrPlan) {
			t.Errorf("%q: %+v, %v", word, s, err)
		}
	}
}

func TestPullKeyIsMadeOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys", "pull")
	line, made, err := PullKey(name)
	if err != nil || !made || !strings.HasPrefix(line, "ssh-ed25519 ") {
		t.Fatalf("%q, %v, %v", line, made, err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, made, err := PullKey(name)
	if err != nil || made || again != line {
		t.Errorf("%q, %v, %v, want %q", again, made, err, line)
	}
	if public, err := os.ReadFile(name + ".pub"); err != nil || string(public) != line+"\n" {
		t.Errorf("%q, %v", public, err)
	}
	if err := os.WriteFile(name, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := PullKey(name); !errors.Is(err, ErrPlan) {
		t.Errorf("a file without a key: %v", err)
	}
}
