package sftp

import (
	"encoding/binary"
	"fmt"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Types of packets of version 3 of the protocol (draft-ietf-secsh-filexfer-02).
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpClose         = 4
	fxpRead          = 5
	fxpLstat         = 7
	fxpFstat         = 8
	fxpOpendir       = 11
	fxpReaddir       = 12
	fxpRealpath      = 16
	fxpStat          = 17
	fxpReadlink      = 19
	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpName          = 104
	fxpAttrs         = 105
	fxpExtended      = 200
	fxpExtendedReply = 201

	protocolVersion = 3
	openForReading  = 1

	maxPacket = 256 << 10 // bytes after the length, as OpenSSH takes and sends them
	maxHandle = 256       // bytes
)

// What an attrs says.
const (
	hasSize        = 1
	hasOwner       = 2
	hasPermissions = 4
	hasTimes       = 8
	hasExtended    = 1 << 31
)

// request is a packet: uint32 length, byte type, uint32 id, fields. Length and id are filled in when it is sent.
type request []byte

func newRequest(kind byte) request { return append(make(request, 0, 96), 0, 0, 0, 0, kind, 0, 0, 0, 0) }

func (r request) text(s string) request {
	return append(binary.BigEndian.AppendUint32(r, uint32(len(s))), s...)
}
func (r request) uint32(v uint32) request { return binary.BigEndian.AppendUint32(r, v) }
func (r request) uint64(v uint64) request { return binary.BigEndian.AppendUint64(r, v) }

func pathRequest(kind byte, path string) request { return newRequest(kind).text(path) }
func openRequest(path string) request {
	return newRequest(fxpOpen).text(path).uint32(openForReading).uint32(0)
}
func readRequest(handle string, offset int64, length int) request {
	return newRequest(fxpRead).text(handle).uint64(uint64(offset)).uint32(uint32(length))
}

// decoder takes fields from a packet. Once something is missing, everything is zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if n > len(d.rest) || d.bad {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) bytes() []byte {
	n := d.uint32()
	if uint64(n) > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

// attrs is what a server says of a file.
type attrs struct {
	flags        uint32
	size         uint64
	uid, gid     uint32
	permissions  uint32
	access, time uint32
}

func (d *decoder) attrs() (a attrs) {
	a.flags = d.uint32()
	if a.flags&hasSize != 0 {
		a.size = d.uint64()
	}
	if a.flags&hasOwner != 0 {
		a.uid, a.gid = d.uint32(), d.uint32()
	}
	if a.flags&hasPermissions != 0 {
		a.permissions = d.uint32()
	}
	if a.flags&hasTimes != 0 {
		a.access, a.time = d.uint32(), d.uint32()
	}
	if a.flags&hasExtended != 0 {
		for n := d.uint32(); n > 0 && !d.bad; n-- {
			d.bytes()
			d.bytes()
		}
	}
	return a
}

// kinds by the type bits of permissions.
var kinds = map[uint32]tree.Kind{0o140000: tree.Socket, 0o120000: tree.Symlink, 0o100000: tree.Regular, 0o060000: tree.BlockDevice,
	0o040000: tree.Directory, 0o020000: tree.CharDevice, 0o010000: tree.Fifo}

// stat returns attrs as the stat of a file. There is no change time: it is that of the modification, which lets the
// backup doubt what changed just now. The error is ErrImpossible.
func (a attrs) stat(name string) (tree.Stat, error) {
	st := tree.Stat{Name: name, Mode: uint16(a.permissions & 0o7777), UID: a.uid, GID: a.gid, Links: 1, ModTime: tree.Time{Sec: int64(a.time)}}
	st.ChangeTime = st.ModTime
	if a.flags&hasPermissions == 0 {
		return st, fmt.Errorf("%w: the server does not tell the kind of the file", ErrImpossible)
	}
	kind, ok := kinds[a.permissions&0o170000]
	if !ok {
		return st, fmt.Errorf("%w: the kind of the file is unknown (%#o)", ErrImpossible, a.permissions)
	}
	if kind == tree.Regular {
		if a.flags&hasSize == 0 || a.size > maxSize {
			return st, fmt.Errorf("%w: the file has no size, or one of %d bytes", ErrImpossible, a.size)
		}
		st.Size = int64(a.size)
	}
	st.Kind = kind
	return st, nil
}

const maxSize = 1 << 62 // bytes of a file

// same reports whether an open file may be the one that was listed as st: all is the same that does not change when somebody writes to it.
func (a attrs) same(st *tree.Stat) error {
	now, err := a.stat(st.Name)
	if err != nil {
		return err
	}
	if now.Kind != st.Kind || now.UID != st.UID || now.GID != st.GID || now.Mode != st.Mode {
		return fmt.Errorf("%w: what was opened is of another kind, owner or mode", source.ErrReplaced)
	}
	return nil
}

// name is an entry of a listing.
type name struct {
	name, long []byte
	attrs      attrs
}

// names decodes the body of a name packet. They refer to it.
func names(body []byte) ([]name, error) {
	d := decoder{rest: body}
	n := d.uint32()
	if uint64(n)*12 > uint64(len(body)) { // two lengths and flags at least
		return nil, protocolError("%d names in %d bytes", n, len(body))
	}
	all := make([]name, 0, n)
	for range n {
		all = append(all, name{name: d.bytes(), long: d.bytes(), attrs: d.attrs()})
	}
	if d.bad {
		return nil, protocolError("a list of names is cut off")
	}
	return all, nil
}

// linked reports whether the line that goes with a name, as of ls -l, gives more than one link.
func linked(long []byte) bool {
	i, fields := 0, 0
	for i < len(long) && fields < 1 {
		for i < len(long) && long[i] != ' ' {
			i++
		}
		for i < len(long) && long[i] == ' ' {
			i++
		}
		fields++
	}
	start := i
	for i < len(long) && long[i] >= '0' && long[i] <= '9' {
		i++
	}
	digits := string(long[start:i])
	return digits != "" && digits != "0" && digits != "1"
}
