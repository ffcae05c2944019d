package pull_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/repo"
	"go.yaml.in/yaml/v3"
)

// TestSnapshotsAsTheGuideHasThem pulls from file systems of each kind by the policies in the guide, with other names for volumes and folders.
func TestSnapshotsAsTheGuideHasThem(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/file-system-snapshots.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(files) < 4 {
		t.Fatalf("%d files in the guide", len(files))
	}
	for _, kind := range []struct {
		name, policy string
		make         func(t *testing.T, v *volume)
	}{{"Btrfs", files[0][1], makeBtrfs}, {"LVM", files[1][1], makeLVM}, {"LVM thin", files[2][1], makeThin}, {"ZFS", files[3][1], makeZFS}, {"mounted", mounted, makeFolder}} {
		t.Run(kind.name, func(t *testing.T) {
			if os.Getuid() != 0 {
				t.Skip("needs root")
			}
			v := &volume{group: fmt.Sprintf("snaptest%d", os.Getpid()), dir: t.TempDir()}
			v.srv, v.run = v.dir+"/srv", v.dir+"/run/snap-pull"
			kind.make(t, v)
			v.pull(t, kind.policy)
		})
	}
}

// volume is a file system, made for a test.
type volume struct {
	group    string // that the guide calls vg0, or tank
	dir      string
	srv, run string // folders that the guide calls /srv and /run/snap-pull
}

// policy is what the test needs of one.
type policy struct {
	Roots     []string                       `yaml:"roots"`
	Snapshots map[string]map[string][]string `yaml:"snapshots"`
}

// pull pulls the volume twice by a policy of the guide: once with a snapshot in the way that was left behind.
func (v *volume) pull(t *testing.T, text string) {
	var p policy
	text = strings.NewReplacer("/srv/.snap-pull", v.srv+"/.snap-pull", "/dev/vg0/", "/dev/"+v.group+"/", "vg0/", v.group+"/", "tank/", v.group+"/",
		" /srv,", " "+v.srv+",", " /srv/.", " "+v.srv+"/.", "/run/snap-pull", v.run).Replace(text)
	if err := yaml.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	at, create := p.Roots[0], p.Snapshots["srv"]["create"]
	// What is written behind the snapshot is not in it.
	file := v.srv + "/file"
	p.Snapshots["srv"]["create"] = append([]string{"sh", "-c", `"$@" && echo later > ` + file, "sh"}, create...)
	changed, err := yaml.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	s, r := newSite(t, string(changed)), vault(t, repo.CreateOptions{})
	for _, left := range []bool{false, true} {
		write(t, file, "before")
		if left {
			v.must(t, create...)
		}
		res := one(t, r, s.source(t, "paths: ["+at+"]\nsnapshots: [srv]\n"))
		if res.Err != nil || res.Partial {
			t.Fatalf("%+v", res)
		}
		if got := content(t, r, res.Snapshot, strings.TrimPrefix(at, "/")+"/file"); got != "before" {
			t.Errorf("pulled %q", got)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != "later\n" {
			t.Errorf("the volume has %q, %v", now, err)
		}
		if _, err := os.Lstat(at + "/file"); !os.IsNotExist(err) {
			t.Errorf("the snapshot is still there: %v", err)
		}
	}
	v.must(t, create...) // which fails if anything is left
	v.must(t, p.Snapshots["srv"]["remove"]...)
}

func (v *volume) must(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", command, err, out)
	}
}

// device returns a block device, or skips the test if a program is missing that makes a file system of it.
func (v *volume) device(t *testing.T, program string) string {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
	disk := filepath.Join(v.dir, "disk")
	v.must(t, "truncate", "-s", "192M", disk)
	device, detach := looptest.Attach(t, disk, false)
	t.Cleanup(detach)
	return device
}

// unmounted tries for a while: a command that was killed may hold it for a moment.
func (v *volume) unmounted(t *testing.T) {
	for end := time.Now().Add(10 * time.Minute); exec.Command("umount", v.srv).Run() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s is still in use", v.srv)
			return
		}
	}
}

// mount mounts a file system on the folder of the volume.
func (v *volume) mount(t *testing.T, device string) {
	v.must(t, "mkdir", "-p", v.srv)
	if out, err := exec.Command("mount", device, v.srv).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { v.unmounted(t) })
}

func makeBtrfs(t *testing.T, v *volume) {
	device := v.device(t, "mkfs.btrfs")
	v.must(t, "mkfs.btrfs", "-q", device)
	v.mount(t, device)
}

// group makes a group of volumes.
func (v *volume) makeGroup(t *testing.T) {
	if err := exec.Command("dmsetup", "version").Run(); err != nil {
		t.Skip("no device mapper: ", err)
	}
	device := v.device(t, "lvcreate")
	v.must(t, "pvcreate", "-q", device)
	v.must(t, "vgcreate", "-q", v.group, device)
	t.Cleanup(func() { v.must(t, "vgremove", "-q", "-f", v.group) })
}

func makeLVM(t *testing.T, v *volume) {
	v.makeGroup(t)
	v.must(t, "lvcreate", "-q", "-y", "-n", "srv", "-L", "64M", v.group)
	v.must(t, "mkfs.ext4", "-q", "/dev/"+v.group+"/srv")
	v.mount(t, "/dev/"+v.group+"/srv")
}

func makeThin(t *testing.T, v *volume) {
	v.makeGroup(t)
	if _, err := exec.LookPath("thin_check"); err != nil {
		t.Skip(err)
	}
	v.must(t, "lvcreate", "-q", "-y", "--type", "thin-pool", "-n", "pool", "-L", "96M", v.group)
	v.must(t, "lvcreate", "-q", "-y", "--thinpool", "pool", "-n", "srv", "-V", "64M", v.group)
	v.must(t, "mkfs.ext4", "-q", "/dev/"+v.group+"/srv")
	v.mount(t, "/dev/"+v.group+"/srv")
}

// makeZFS makes a pool. zfs-fuse does not do: what it has mounted and unmounted stays busy.
func makeZFS(t *testing.T, v *volume) {
	if _, err := os.Stat("/dev/zfs"); err != nil {
		t.Skip("no ZFS: ", err)
	}
	disk := filepath.Join(v.dir, "disk")
	v.must(t, "truncate", "-s", "128M", disk)
	v.must(t, "zpool", "create", "-m", "none", v.group, disk)
	t.Cleanup(func() { v.must(t, "zpool", "destroy", v.group) })
	v.must(t, "zfs", "create", "-o", "mountpoint="+v.srv, v.group+"/srv")
}

// mounted is a policy whose snapshot is a file system of its own, as those of LVM and ZFS are, and needs neither.
const mounted = `
roots: [/run/snap-pull]
snapshots:
  srv:
    create: [sh, -c, "! mountpoint -q /run/snap-pull && mkdir -p /run/snap-pull && mount -t tmpfs tmpfs /run/snap-pull && cp -a /srv/. /run/snap-pull"]
    remove: [umount, /run/snap-pull]
`

func makeFolder(t *testing.T, v *volume) {
	v.must(t, "mkdir", v.srv)
	t.Cleanup(func() { _ = exec.Command("umount", v.run).Run() }) // for tests that fail
}
