package main

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/snapkeep/snap/internal/tree"
)

// tarAttribute returns the record of a tar archive that holds an extended attribute. ACLs have a form of
// their own there, without which neither GNU tar nor bsdtar sets them; in other names = and % are
// written as GNU tar does, since a key ends at the first =.
func tarAttribute(x tree.Xattr) (key, value string) {
	switch x.Name {
	case "system.posix_acl_access":
		if text, ok := aclText(x.Value); ok {
			return "SCHILY.acl.access", text
		}
	case "system.posix_acl_default":
		if text, ok := aclText(x.Value); ok {
			return "SCHILY.acl.default", text
		}
	}
	return "SCHILY.xattr." + strings.NewReplacer("%", "%25", "=", "%3D").Replace(x.Name), x.Value
}

// Layout of an ACL in an extended attribute, as acl(5) has it: a version, then entries of a tag, permissions and an
// id, in little endian.
const (
	aclVersion    = 2
	aclHeaderSize = 4
	aclEntrySize  = 8
)

var aclTags = map[uint16]string{0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}

// aclNamed are the tags whose entries have an id.
const aclNamed = 0x02 | 0x08

// aclText returns an ACL as text, with owners by number; false if it is none that is known.
func aclText(value string) (string, bool) {
	b := []byte(value)
	if len(b) < aclHeaderSize || binary.LittleEndian.Uint32(b) != aclVersion {
		return "", false
	}
	if b = b[aclHeaderSize:]; len(b) == 0 || len(b)%aclEntrySize != 0 {
		return "", false
	}
	var entries []string
	for ; len(b) > 0; b = b[aclEntrySize:] {
		tag, perm, id := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])
		text, known := aclTags[tag]
		if !known || perm > 7 {
			return "", false
		}
		if tag&aclNamed != 0 {
			text += fmt.Sprint(id)
		}
		entries = append(entries, text+":"+permText(perm))
	}
	return strings.Join(entries, ","), true
}

// permText returns permissions as rwx.
func permText(perm uint16) string {
	text := []byte("rwx")
	for i := range text {
		if perm&(4>>i) == 0 {
			text[i] = '-'
		}
	}
	return string(text)
}
