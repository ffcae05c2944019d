package sftp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// How much is asked for in one request: as much as every server gives, and as much as helps.
const (
	smallRead = 32 << 10
	largeRead = 128 << 10
)

// readLimits asks how much may be read at once, and how many files may be open. A server that does not tell gets what any
// can do.
func (c *client) readLimits(ctx context.Context) error {
	c.readLength, c.handles = smallRead, 64
	if !c.has("limits@openssh.com", "1") {
		return nil
	}
	d, err := c.start(newRequest(fxpExtended).text("limits@openssh.com"), nil).expect(ctx, fxpExtendedReply)
	var refused *statusError
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	packet, read, _, handles := d.uint64(), d.uint64(), d.uint64(), d.uint64()
	if d.bad {
		return protocolError("limits are cut off")
	}
	if packet > 1<<10 {
		read = min(read, packet-1<<10)
	}
	if read = min(read, largeRead); read >= 1<<10 {
		c.readLength = 1 << (bits.Len64(read) - 1) // blocks of zeros lie in line with reads
	}
	if c.handles = 1 << 10; handles > 0 {
		c.handles = int(min(handles, 1<<10))
	}
	return nil
}

// fileSystem returns the id of the file system that a path lies on. The error is ErrUnsupported if the server cannot tell.
func (c *client) fileSystem(ctx context.Context, path string) (uint64, error) {
	if !c.has("statvfs@openssh.com", "2") {
		return 0, fmt.Errorf("%w: statvfs@openssh.com, without which file systems are not told apart", ErrUnsupported)
	}
	return c.startFileSystem(path).fileSystem(ctx)
}

func (c *client) startFileSystem(path string) *call {
	return c.start(newRequest(fxpExtended).text("statvfs@openssh.com").text(path), nil)
}

func (x *call) fileSystem(ctx context.Context) (uint64, error) {
	d, err := x.expect(ctx, fxpExtendedReply)
	if err != nil {
		return 0, err
	}
	d.take(8 * 8) // sizes, blocks and files
	id := d.uint64()
	if d.bad {
		return 0, protocolError("a file system's figures are cut off")
	}
	return id, nil
}

// owners remembers the names of users and groups. An id without a name is remembered too.
type owners struct {
	asking sync.Mutex // held by who asks the server

	mu            sync.RWMutex // guards the maps
	users, groups map[uint32]string
}

func (o *owners) known(uid, gid uint32) (user, group string, known bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	user, u := o.users[uid]
	group, g := o.groups[gid]
	return user, group, u && g
}

// ownerNames returns the names of a user and a group, empty if nobody knows.
func (s *Source) ownerNames(ctx context.Context, uid, gid uint32) (user, group string, err error) {
	o := s.owners
	if user, group, known := o.known(uid, gid); known {
		return user, group, nil
	}
	o.asking.Lock()
	defer o.asking.Unlock()
	if user, group, known := o.known(uid, gid); known {
		return user, group, nil
	}
	err = s.do(ctx, func(ctx context.Context, c *client, _ bool) error {
		user, group, err = c.ownerNames(ctx, uid, gid)
		return err
	})
	if err != nil {
		return "", "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users[uid], o.groups[gid] = user, group
	return user, group, nil
}

const namesByID = "users-groups-by-id@openssh.com"

func (c *client) ownerNames(ctx context.Context, uid, gid uint32) (user, group string, err error) {
	if !c.has(namesByID, "1") {
		return "", "", nil
	}
	id := func(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }
	d, err := c.start(newRequest(fxpExtended).text(namesByID).text(id(uid)).text(id(gid)), nil).expect(ctx, fxpExtendedReply)
	var refused *statusError
	if errors.As(err, &refused) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	users, groups := decoder{rest: d.bytes()}, decoder{rest: d.bytes()}
	user, group = ownerName(users.bytes()), ownerName(groups.bytes())
	if d.bad || users.bad || groups.bad {
		return "", "", protocolError("names of owners are cut off")
	}
	return user, group, nil
}

// ownerName returns a name of a user or group, empty if it is none.
func ownerName(b []byte) string {
	s := string(b)
	if len(s) > 255 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || strings.Contains(s, ":") {
		return ""
	}
	return s
}
