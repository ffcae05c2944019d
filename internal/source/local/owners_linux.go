package local

import (
	"os/user"
	"strconv"
	"sync"

	"github.com/snapkeep/snap/internal/tree"
)

// owners remembers the names of users and groups. An id without a name is
// remembered too.
type owners struct {
	mu sync.RWMutex // guards the maps

	users, groups map[uint32]string
}

func newOwners() *owners {
	return &owners{users: map[uint32]string{}, groups: map[uint32]string{}}
}

// fill sets the names of the owners that st gives by number.
func (o *owners) fill(st *tree.Stat, e *tree.Entry) {
	e.User = o.name(o.users, st.UID, func(id string) string {
		u, err := user.LookupId(id)
		if err != nil {
			return ""
		}
		return u.Username
	})
	e.Group = o.name(o.groups, st.GID, func(id string) string {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return ""
		}
		return g.Name
	})
}

func (o *owners) name(known map[uint32]string, id uint32, look func(string) string) string {
	o.mu.RLock()
	name, ok := known[id]
	o.mu.RUnlock()
	if ok {
		return name
	}
	name = look(strconv.FormatUint(uint64(id), 10))
	o.mu.Lock()
	known[id] = name
	o.mu.Unlock()
	return name
}
