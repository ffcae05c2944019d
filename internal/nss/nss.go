package nss

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxVain is after how many numbers that getent did not know no more is asked: who may give files to 65,536 numbers of
// a user namespace keeps no backup busy with them for minutes.
const maxVain = 4096

// vainTime is how long all answers may take together that getent did not know: a service that is far, or down, takes seconds for each.
const vainTime = 30 * time.Second

// getentPatience is how long getent may take for one answer.
const getentPatience = 5 * time.Second

// Names tells names of users and groups. Files are read, and getent is asked for a number, once at most; changes after
// that are not seen. It may be used by several goroutines at once.
type Names struct {
	m             machine
	users, groups database

	asking sync.Mutex    // held by who reads a file or asks; guards what follows, and loaded and beside of the databases
	silent bool          // getent did not work, and is not asked again
	vain   int           // numbers that getent did not know
	waited time.Duration // for these
}

// machine is where a machine has its names. Tests have one of their own.
type machine struct {
	etc      string        // folder with passwd, group and nsswitch.conf
	getent   []string      // paths that getent may have; the first one that is there counts
	patience time.Duration // with getent
}

var thisMachine = machine{etc: "/etc", getent: []string{"/usr/bin/getent", "/bin/getent"}, patience: getentPatience}

// database is that of users or of groups.
type database struct {
	name   string // as files and getent call it
	loaded bool   // the file was read
	beside bool   // others than the file know names

	mu    sync.RWMutex // guards known
	known map[uint32]string
}

// New returns the names of this machine. It reads nothing yet.
func New() *Names { return newNames(thisMachine) }

func newNames(m machine) *Names {
	return &Names{m: m, users: database{name: "passwd"}, groups: database{name: "group"}}
}

// User returns the name of a user, empty if there is none, or if ctx ends before it is known.
func (n *Names) User(ctx context.Context, uid uint32) string { return n.name(ctx, &n.users, uid) }

// Group returns the name of a group, empty if there is none, or if ctx ends before it is known.
func (n *Names) Group(ctx context.Context, gid uint32) string { return n.name(ctx, &n.groups, gid) }

// Current returns the name of the user of this process: what the environment's USER says if the machine has none. It finds
// out once.
func Current() string { return current() }

var current = sync.OnceValue(func() string {
	if name := New().User(context.Background(), uint32(os.Getuid())); name != "" {
		return name
	}
	return os.Getenv("USER")
})

func (n *Names) name(ctx context.Context, d *database, id uint32) string {
	if name, ok := d.look(id); ok {
		return name
	}
	n.asking.Lock()
	defer n.asking.Unlock()
	if !d.loaded {
		d.load(n.m.etc)
	}
	if name, ok := d.look(id); ok {
		return name
	}
	name := ""
	if d.beside && !n.silent {
		if name = n.ask(ctx, d.name, id); ctx.Err() != nil {
			return "" // nothing was found out
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[id] = name
	return name
}

// look returns what is known of a number. That it has no name is known too.
func (d *database) look(id uint32) (name string, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	name, ok = d.known[id]
	return name, ok
}

// load reads the file, and who else knows names. What cannot be read knows none.
func (d *database) load(etc string) {
	d.loaded = true
	known := map[uint32]string{}
	if f, err := os.Open(filepath.Join(etc, d.name)); err == nil {
		readFile(f, known)
		f.Close()
	}
	d.beside = othersKnow(etc, d.name, "files")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = known
}

// othersKnow reports whether this machine asks others than the services about a database.
func othersKnow(etc, database string, than ...string) bool {
	f, err := os.Open(filepath.Join(etc, "nsswitch.conf"))
	if err != nil {
		return false // the C library asks files then, and DNS
	}
	defer f.Close()
	return namesOthers(f, database, than...)
}
