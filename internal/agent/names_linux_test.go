package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/tree"
)

// extraUsers returns a machine that has users and groups which are in no file of /etc: a module of the C library knows them.
func extraUsers(t *testing.T) (inside []string) {
	t.Helper()
	if libs, _ := filepath.Glob("/usr/lib*/libnss_extrausers.so.2"); len(libs) == 0 {
		t.Skip("needs libnss-extrausers")
	}
	if _, err := exec.LookPath("getent"); err != nil {
		t.Skip(err)
	}
	inside = sshdtest.NewMachine(t, "names")
	const script = `set -e
sed -i '/^passwd:/d; /^group:/d' /etc/nsswitch.conf
printf 'passwd: files extrausers\ngroup: files extrausers\n' >>/etc/nsswitch.conf
mkdir -p /var/lib/extrausers
printf '%s\n' 'EXAMPLE\anna:x:54321:54322:Anna:/home/anna:/bin/sh' >/var/lib/extrausers/passwd
echo 'shop:x:54322:' >/var/lib/extrausers/group`
	args := append(inside, "sh", "-c", script)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return inside
}

// TestConfinedAgentKnowsNamesThatNoFileHas asks an agent that gave up its rights for folders of such owners.
func TestConfinedAgentKnowsNamesThatNoFileHas(t *testing.T) {
	inside := extraUsers(t)
	dir := t.TempDir()
	build(t, dir, "hers/", "nobody's/", "root's->x")
	for name, ids := range map[string][2]int{"hers": {54321, 54322}, "nobody's": {54329, 54329}} {
		if err := os.Chown(filepath.Join(dir, name), ids[0], ids[1]); err != nil {
			t.Fatal(err)
		}
	}
	for policy, enforced := range map[string]string{"roots: [" + dir + "]\n": "no-new-privs", "roots: [" + dir + "]\nnew_privileges: true\n": ""} {
		c := startChildIn(t, inside, policy)
		if got := strings.Join(c.hello().Enforced, " "); !strings.HasPrefix(got, enforced) {
			t.Errorf("enforced: %q, want %q", got, enforced)
		}
		if bad, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); len(bad) > 0 || err != nil {
			t.Fatal(bad, err)
		}
		got := map[string]string{}
		err := c.entries(rel(dir), func(e *tree.Entry) { got[e.Name] = e.User + " " + e.Group })
		want := map[string]string{"hers": `EXAMPLE\anna shop`, "nobody's": " ", "root's": "root root"}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("owners %v, %v, want %v", got, err, want)
		}
		c.w.Close()
		if err := c.wait(); err != nil {
			t.Errorf("%v: %s", err, c.stderr)
		}
	}
}
