package main

import (
	"testing"

	"github.com/snapkeep/snap/internal/tree"
)

func TestTarAttribute(t *testing.T) {
	acl := "\x02\x00\x00\x00" +
		"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xd2\x04\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x08\x00\x01\x007\x00\x00\x00" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	text := "user::rw-,user:1234:rwx,group::r--,group:55:--x,mask::rwx,other::---"
	tests := []struct{ name, value, key, want string }{
		{"user.a", "\x00b", "SCHILY.xattr.user.a", "\x00b"},
		{"user.a=b%c", "", "SCHILY.xattr.user.a%3Db%25c", ""},
		{"system.posix_acl_access", acl, "SCHILY.acl.access", text},
		{"system.posix_acl_default", acl, "SCHILY.acl.default", text},
		{"system.posix_acl_access", acl[:len(acl)-1], "SCHILY.xattr.system.posix_acl_access", acl[:len(acl)-1]},
		{"system.posix_acl_access", acl[:4], "SCHILY.xattr.system.posix_acl_access", acl[:4]},
		{"system.posix_acl_access", "\x03" + acl[1:], "SCHILY.xattr.system.posix_acl_access", "\x03" + acl[1:]},
		{"system.posix_acl_access", acl[:4] + "\x40" + acl[5:], "SCHILY.xattr.system.posix_acl_access", acl[:4] + "\x40" + acl[5:]},
		{"system.posix_acl_access", "", "SCHILY.xattr.system.posix_acl_access", ""},
	}
	for _, tc := range tests {
		if key, got := tarAttribute(tree.Xattr{Name: tc.name, Value: tc.value}); key != tc.key || got != tc.want {
			t.Errorf("%s of %q: got %s, %q, want %s, %q", tc.name, tc.value, key, got, tc.key, tc.want)
		}
	}
}
