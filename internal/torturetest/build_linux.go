package torturetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Class is a kind of difficulty; it has a folder of its name.
type Class struct {
	Name  string
	Root  bool // only root can make it
	build func(b *builder)
}

// Classes returns all classes.
func Classes() []Class {
	return []Class{
		{"names", false, (*builder).names},
		{"deep", false, (*builder).deep},
		{"modes", true, (*builder).modes},
		{"owners", true, (*builder).owners},
		{"links", true, (*builder).links},
		{"nodes", true, (*builder).nodes},
		{"symlinks", false, (*builder).symlinks},
		{"times", false, (*builder).times},
		{"holes", false, (*builder).holes},
		{"sizes", false, (*builder).sizes},
		{"xattrs", true, (*builder).xattrs},
		{"rights", true, (*builder).rights},
		{"flags", true, (*builder).flags},
		{"many", false, (*builder).many},
		{"empty", false, (*builder).empty},
	}
}

// builder makes one class in a folder.
type builder struct {
	fd   int // of the folder
	errs []error
}

// Build makes the classes of those names in dir, or all of them if there is no name,
// leaving out those that need root if this process is not. What the file system refuses,
// such as attributes or flags, is returned as an error beside the rest.
func Build(dir string, names ...string) error {
	var errs []error
	for _, c := range Classes() {
		if len(names) > 0 && !slices.Contains(names, c.Name) || c.Root && os.Geteuid() != 0 {
			continue
		}
		path := dir + "/" + c.Name
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		b := builder{fd: fd}
		c.build(&b)
		unix.Close(fd)
		for _, err := range b.errs {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (b *builder) note(what string, err error) {
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("%q: %w", what, err))
	}
}

// file makes a file and returns its path for system calls that take no descriptor.
func (b *builder) file(name string, content []byte) string {
	fd, err := unix.Openat(b.fd, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	b.note(name, err)
	if err != nil {
		return ""
	}
	for len(content) > 0 {
		n, err := unix.Write(fd, content)
		if err != nil {
			b.note(name, err)
			break
		}
		content = content[n:]
	}
	b.note(name, unix.Close(fd))
	return b.path(name)
}

func (b *builder) path(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", b.fd, name) }

func (b *builder) dir(name string) string {
	b.note(name, unix.Mkdirat(b.fd, name, 0o755))
	return b.path(name)
}

func (b *builder) names() {
	for c := 1; c < 256; c++ {
		if c == '/' {
			continue
		}
		if c != '.' {
			b.file(string([]byte{byte(c)}), nil)
		}
		b.file("with "+string([]byte{byte(c)})+" inside", []byte{byte(c)})
	}
	for _, name := range []string{
		strings.Repeat("n", 255), strings.Repeat("\xff", 255), "...", "..a", "-rf", "~", "$HOME", "a\nb",
		"\u202eright to left", "e\u0301", "\u00e9", "CON", "nul.txt", " ", "\x1b[31m", "%s%n", "*", "?", "[a]", `\`,
	} {
		b.file(name, []byte(name))
	}
	b.dir(strings.Repeat("d", 255))
	b.dir("dir\xff\xfe")
}

func (b *builder) deep() {
	name := strings.Repeat("d", 120)
	at := b.fd
	for i := range 40 {
		b.note(name, unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if at != b.fd {
			unix.Close(at)
		}
		if err != nil {
			b.note(name, err)
			return
		}
		at = next
		sub := builder{fd: at}
		sub.file("file", fmt.Append(nil, i))
		b.errs = append(b.errs, sub.errs...)
	}
	b.note("bottom", unix.Symlinkat("file", at, "link"))
	unix.Close(at)
}

func (b *builder) modes() {
	for mode := range uint32(0o10000) {
		if mode%11 != 0 && mode < 0o7770 && mode&0o777 != 0 {
			continue
		}
		f, d := fmt.Sprintf("f%04o", mode), fmt.Sprintf("d%04o", mode)
		p := b.file(f, []byte("x"))
		b.note(f, unix.Chmod(p, mode))
		p = b.dir(d)
		b.note(d, unix.Chmod(p, mode))
	}
	p := b.file("setuid of another", []byte("x"))
	b.note(p, errors.Join(unix.Chown(p, 12345, 54321), unix.Chmod(p, 0o6755)))
}

func (b *builder) owners() {
	for _, id := range []uint32{0, 1, 65534, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 2} {
		for i, name := range []string{"user", "group", "both"} {
			uid, gid := int(id), int(id)
			if i == 0 {
				gid = 0
			} else if i == 1 {
				uid = 0
			}
			name = fmt.Sprintf("%s-%d", name, id)
			b.note(name, unix.Lchown(b.file(name, []byte("x")), uid, gid))
			b.note(name, unix.Lchown(b.dir(name+"-dir"), uid, gid))
			b.note(name, unix.Symlinkat("x", b.fd, name+"-link"))
			b.note(name, unix.Lchown(b.path(name+"-link"), uid, gid))
		}
	}
}

func (b *builder) links() {
	b.dir("sub")
	b.file("regular", []byte("linked"))
	b.file("empty", nil)
	b.note("symlink", unix.Symlinkat("nowhere", b.fd, "symlink"))
	b.note("fifo", unix.Mkfifoat(b.fd, "fifo", 0o600))
	b.note("socket", unix.Mknodat(b.fd, "socket", unix.S_IFSOCK|0o600, 0))
	b.note("device", unix.Mknodat(b.fd, "device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	for _, name := range []string{"regular", "empty", "symlink", "fifo", "socket", "device"} {
		for _, other := range []string{name + "-2", "a-" + name, "sub/" + name} {
			b.note(other, unix.Linkat(b.fd, name, b.fd, other, 0))
		}
	}
	for i := range 300 {
		b.note("many", unix.Linkat(b.fd, "regular", b.fd, fmt.Sprintf("sub/many-%d", i), 0))
	}
}

func (b *builder) nodes() {
	for _, n := range []struct {
		name string
		mode uint32
		dev  uint64
	}{
		{"null", unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)},
		{"large", unix.S_IFCHR | 0o640, unix.Mkdev(4095, 1048575)},
		{"block", unix.S_IFBLK | 0o660, unix.Mkdev(259, 300)},
		{"whiteout", unix.S_IFCHR, 0},
		{"fifo", unix.S_IFIFO | 0o1622, 0},
		{"socket", unix.S_IFSOCK | 0o755, 0},
	} {
		b.note(n.name, unix.Mknodat(b.fd, n.name, n.mode, int(n.dev)))
		b.note(n.name, unix.Chmod(b.path(n.name), n.mode&0o7777))
		b.note(n.name, unix.Lchown(b.path(n.name), 1000, 1001))
	}
}

func (b *builder) symlinks() {
	for name, target := range map[string]string{
		"dangling": "no/where", "absolute": "/etc/passwd", "up": "../../../..", "self": "self", "dot": ".",
		"bytes": "\xff\xfe\x01\n", "long": strings.Repeat("t", 4095), "slash": "/", "space": " ",
	} {
		b.note(name, unix.Symlinkat(target, b.fd, name))
	}
}

func (b *builder) times() {
	for i, sec := range []int64{-1 << 31, -2, -1, 0, 1, 1<<31 - 1, 1 << 31, 1 << 32, 9223372037, 15032385535} {
		for j, nsec := range []int64{0, 1, 500_000_000, 999_999_999} {
			ts := modified(sec, nsec)
			name := fmt.Sprintf("t%d.%d", i, j)
			b.file(name, nil)
			b.dir(name + "d")
			b.note(name, unix.Symlinkat("x", b.fd, name+"l"))
			for _, n := range []string{name, name + "d", name + "l"} {
				b.note(n, unix.UtimesNanoAt(b.fd, n, ts, unix.AT_SYMLINK_NOFOLLOW))
			}
		}
	}
}

// modified returns a modification time, and an access time to leave alone.
func modified(sec, nsec int64) []unix.Timespec {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {}}
	setInt(&ts[1].Sec, sec)
	setInt(&ts[1].Nsec, nsec)
	return ts
}

// setInt sets a field that is wider on some machines than on others.
func setInt[T int32 | int64](p *T, v int64) { *p = T(v) }

func (b *builder) holes() {
	const unit = 64 << 10
	sparse := func(name string, size int64, data ...int64) {
		f, err := os.OpenFile(b.path(name), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			b.note(name, err)
			return
		}
		b.note(name, f.Truncate(size))
		for _, at := range data {
			_, err := f.WriteAt(bytes.Repeat([]byte{byte(at/unit) + 1}, int(min(unit, size-at))), at)
			b.note(name, err)
		}
		b.note(name, f.Close())
	}
	sparse("first", 3*unit, unit, 2*unit)
	sparse("last", 3*unit, 0)
	sparse("middle", 3*unit, 0, 2*unit)
	sparse("all", 3*unit)
	sparse("odd", 3*unit+17, 2*unit, 3*unit)
	sparse("short", 100)
	sparse("terabyte", 1<<40, 0, 1<<39)
	var comb []int64
	for i := range int64(40) {
		comb = append(comb, i*2*unit)
	}
	sparse("comb", 80*unit, comb...)
	b.file("zeros", make([]byte, 4*unit))
}

func (b *builder) sizes() {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 100_000, 1<<20 + 1, 3 << 20} {
		content := make([]byte, n)
		for i := range content {
			content[i] = byte(i*7 + i>>8*13 + n)
		}
		b.file(fmt.Sprint(n), content)
	}
}

func (b *builder) xattrs() {
	set := func(name, attr, value string) {
		b.note(name+" "+attr, unix.Lsetxattr(b.path(name), attr, []byte(value), 0))
	}
	for _, name := range []string{"file", "read-only"} {
		b.file(name, []byte("x"))
	}
	b.dir("dir")
	for _, name := range []string{"file", "dir", "read-only"} {
		set(name, "user.empty", "")
		set(name, "user.binary", "\x00\x01\xff\n")
		set(name, "user."+strings.Repeat("n", 250), "long name")
		set(name, "user.\xff\xfe", "name is no text")
		set(name, "trusted.t", "trusted")
		set(name, "security.own", "security")
	}
	b.note("read-only", unix.Chmod(b.path("read-only"), 0o400))
	b.file("large", nil)
	set("large", "user.large", strings.Repeat("v", 3000))
	b.note("link", unix.Symlinkat("file", b.fd, "link"))
	b.note("fifo", unix.Mkfifoat(b.fd, "fifo", 0o600))
	b.note("device", unix.Mknodat(b.fd, "device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	for _, name := range []string{"link", "fifo", "device"} {
		set(name, "trusted.t", "of "+name)
	}
	b.file("linked", nil)
	set("linked", "user.l", "both")
	b.note("linked", unix.Linkat(b.fd, "linked", b.fd, "linked-2", 0))
}

// acl returns an access control list as the kernel has it: user, a named user, group, a
// named group, mask, other.
func acl(named, mask uint16) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{
		{1, 7, 1<<32 - 1}, {2, named, 1234}, {4, 5, 1<<32 - 1}, {8, named, 4321}, {16, mask, 1<<32 - 1}, {32, 4, 1<<32 - 1},
	} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

func (b *builder) rights() {
	set := func(name, attr string, value []byte) {
		b.note(name+" "+attr, unix.Lsetxattr(b.path(name), attr, value, 0))
	}
	b.file("acl", []byte("x"))
	set("acl", "system.posix_acl_access", acl(6, 7))
	b.file("acl-mask", []byte("x"))
	set("acl-mask", "system.posix_acl_access", acl(7, 1))
	b.dir("dir")
	set("dir", "system.posix_acl_access", acl(5, 5))
	b.dir("before")
	set("before", "system.posix_acl_default", acl(7, 3))
	// These inherit, those in after do not.
	b.file("before/file", []byte("x"))
	b.dir("before/dir")
	b.dir("after")
	b.file("after/file", []byte("x"))
	b.dir("after/dir")
	b.note("after/link", unix.Symlinkat("x", b.fd, "after/link"))
	b.note("after/fifo", unix.Mkfifoat(b.fd, "after/fifo", 0o640))
	set("after", "system.posix_acl_default", acl(6, 6))
	b.dir("setgid")
	b.note("setgid", errors.Join(unix.Chown(b.path("setgid"), 5, 6), unix.Chmod(b.path("setgid"), 0o2775)))
	b.file("setgid/own", []byte("x"))
	b.note("setgid/own", unix.Chown(b.path("setgid/own"), 0, 0))
	b.dir("setgid/dir")
	b.note("setgid/dir", unix.Chmod(b.path("setgid/dir"), 0o755))
	// CAP_NET_RAW, permitted and effective.
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	b.file("cap", []byte("x"))
	set("cap", "security.capability", capability)
	b.file("cap-owned", []byte("x"))
	b.note("cap-owned", unix.Chown(b.path("cap-owned"), 33, 44))
	set("cap-owned", "security.capability", capability)
	b.note("cap-owned", unix.Chmod(b.path("cap-owned"), 0o750))
}

func (b *builder) flags() {
	set := func(name string, flags int) {
		fd, err := unix.Openat(b.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			b.note(name, err)
			return
		}
		defer unix.Close(fd)
		old, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
		if err == nil {
			err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(old)|flags)
		}
		b.note(fmt.Sprintf("%s %#x", name, flags), err)
	}
	const immutable, appendOnly, noDump, noAtime, sync = 0x10, 0x20, 0x40, 0x80, 0x8
	sets := map[string]int{
		"immutable": immutable, "append": appendOnly, "nodump": noDump, "noatime": noAtime, "sync": sync,
		"all": immutable | appendOnly | noDump | noAtime | sync,
	}
	for name := range sets {
		b.file(name, []byte("x"))
		b.dir(name + "-dir")
		b.file(name+"-dir/file", []byte("x"))
		b.dir(name + "-dir/dir")
		b.note(name, unix.Fchmodat(b.fd, name, 0o400, 0))
	}
	b.file("linked", []byte("x"))
	b.note("linked", unix.Linkat(b.fd, "linked", b.fd, "linked-2", 0))
	past := modified(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC).Unix(), 7)
	for name, flags := range sets {
		for _, n := range []string{name, name + "-dir"} {
			b.note(n, unix.UtimesNanoAt(b.fd, n, past, 0))
			set(n, flags)
		}
	}
	set("linked", immutable|noDump)
}

func (b *builder) many() {
	for i := range 5000 {
		b.file(fmt.Sprintf("%x", i*70003%1000003), nil)
	}
}

func (b *builder) empty() {
	for _, name := range []string{"a", "b", "b/c", "b/c/d"} {
		b.dir(name)
	}
}
