package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/protocol"
)

// held are kinds of file systems that keep files of their own.
var held = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "zfs": true, "f2fs": true, "jfs": true, "reiserfs": true,
	"bcachefs": true, "nfs": true, "nfs4": true, "cifs": true, "smb3": true, "ceph": true, "vfat": true, "exfat": true, "ntfs3": true, "fuseblk": true, "ocfs2": true, "gfs2": true}

// traces are where a database server leaves a sign of itself.
var traces = []protocol.Database{
	{Kind: "postgresql", Where: "/var/run/postgresql/.s.PGSQL.*[0-9]"},
	{Kind: "postgresql", Where: "/var/lib/postgresql/*/*/PG_VERSION"},
	{Kind: "mariadb", Where: "/run/mysqld/mysqld.sock"},
	{Kind: "mariadb", Where: "/var/lib/mysql/ibdata1"},
	{Kind: "mongodb", Where: "/tmp/mongodb-*.sock"},
	{Kind: "redis", Where: "/var/lib/redis/dump.rdb"},
}

// inventory looks at what there is on this machine, so that the server can name what no job covers. What cannot be
// looked at is left out.
func inventory() *protocol.InventoryAnswer {
	inv := &protocol.InventoryAnswer{}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil {
		inv.Mounts = mounts(string(data))
	}
	for _, t := range traces {
		found, err := filepath.Glob(t.Where)
		if err != nil {
			continue
		}
		for _, where := range found {
			inv.Databases = append(inv.Databases, protocol.Database{Kind: t.Kind, Where: where})
		}
	}
	return inv
}

// mounts takes file systems that keep files out of /proc/self/mountinfo (proc(5)). Of one that is mounted several times
// the first stands for all.
func mounts(info string) (all []protocol.Mount) {
	seen := map[string]bool{}
	for line := range strings.Lines(info) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 2 || !held[right[0]] || seen[left[2]] || left[3] != "/" {
			continue
		}
		seen[left[2]] = true
		all = append(all, protocol.Mount{Path: unescape(left[4]), Kind: right[0], Device: unescape(right[1])})
	}
	return all
}

// unescape turns \040 and the like into the byte that it stands for.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
