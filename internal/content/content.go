// Package content tells by a file's name and first bytes what it holds, as far as it decides how the file is
// cut into chunks. It is pure.
package content

import (
	"bytes"
	"path"
	"strings"
)

// HeadSize is how many bytes from the start of a file are enough to tell.
const HeadSize = 0x10048

// IsDatabase reports whether a file looks like a database, a dump of one, or a disk image, which change in many small
// places. head holds the first bytes of the file, HeadSize of them if there are so many.
func IsDatabase(name string, head []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".db", ".sqlite", ".sqlite3", ".sql", ".dump", ".ibd", ".mdb", ".accdb", ".mdf", ".myd", ".pst", ".edb", ".dbf", ".fdb",
		".img", ".raw", ".qcow2", ".vmdk", ".vdi", ".vhd", ".vhdx", ".iso":
		return true
	}
	switch {
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return true
	case len(head) > 1082 && head[1080] == 0x53 && head[1081] == 0xEF: // ext2 to ext4
		return true
	case len(head) > 520 && head[510] == 0x55 && head[511] == 0xAA: // partition table or boot sector
		return true
	case bytes.HasPrefix(head, []byte("XFSB")), bytes.HasPrefix(head, []byte("QFI\xfb")):
		return true
	case len(head) > 0x10048 && string(head[0x10040:0x10048]) == "_BHRfS_M": // Btrfs
		return true
	}
	return false
}
