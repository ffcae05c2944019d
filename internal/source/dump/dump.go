package dump

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The kinds of dumps.
const (
	KindCommand    = "command"
	KindPostgreSQL = "postgresql"
	KindMySQL      = "mysql"
	KindMariaDB    = "mariadb"
	KindSQLite     = "sqlite"
)

// Kinds are all kinds.
var Kinds = []string{KindCommand, KindPostgreSQL, KindMySQL, KindMariaDB, KindSQLite}

// ErrSettings says that a kind cannot be dumped by the settings given.
var ErrSettings = errors.New("settings of a dump")

// Command is what makes a dump. No shell sees it.
type Command struct {
	Args []string
	Env  map[string]string // beside a minimal environment
}

// kind is a kind of database.
type kind struct {
	settings map[string]string // known ones, with what they mean
	required []string
	command  func(s map[string]string) Command
	marks    []mark
}

var kinds = map[string]kind{
	KindPostgreSQL: {
		settings: map[string]string{"database": "name; without it all databases and roles are dumped", "host": "server, or folder of its socket", "port": "of the server", "user": "to connect as",
			"as": "user of this system to run as", "passfile": "file with the password, as of PGPASSFILE", "program": "path of pg_dump or pg_dumpall"},
		command: postgreSQL,
		// A dump of a cluster holds those of its databases, each with its own end.
		marks: []mark{{"-- PostgreSQL database cluster dump", "-- PostgreSQL database cluster dump complete"},
			{"-- PostgreSQL database dump", "-- PostgreSQL database dump complete"}},
	},
	KindMariaDB: {settings: mariaSettings, command: mariaDB("mariadb-dump"), marks: mariaMarks},
	KindMySQL:   {settings: mariaSettings, command: mariaDB("mysqldump"), marks: mariaMarks},
	KindSQLite: {
		settings: map[string]string{"file": "path of the database", "program": "path of sqlite3"},
		required: []string{"file"},
		command: func(s map[string]string) Command {
			return Command{Args: []string{or(s["program"], "sqlite3"), "-readonly", "-bail", s["file"], ".dump"}}
		},
		marks: []mark{{"", "COMMIT;"}},
	},
}

// mark is how a complete dump begins and ends.
type mark struct {
	begin string // of a line among the first; empty for any
	end   string // of the last line
}

var mariaMarks = []mark{{"", "-- Dump completed"}}

var mariaSettings = map[string]string{"database": "name; without it all databases are dumped", "socket": "path of the server's socket", "host": "server", "port": "of the server",
	"user": "to connect as", "as": "user of this system to run as", "defaults_file": "option file with the password", "program": "path of the dump program"}

func postgreSQL(s map[string]string) Command {
	c := Command{Env: map[string]string{}}
	if s["database"] == "" {
		c.Args = []string{or(s["program"], "pg_dumpall")}
	} else {
		c.Args = []string{or(s["program"], "pg_dump"), "--format=plain"}
	}
	c.Args = append(c.Args, "--no-password")
	c.flags(s, "host", "--host=", "port", "--port=", "user", "--username=", "database", "--dbname=")
	if s["passfile"] != "" {
		c.Env["PGPASSFILE"] = s["passfile"]
	}
	return c.as(s["as"])
}

func mariaDB(program string) func(map[string]string) Command {
	return func(s map[string]string) Command {
		c := Command{Args: []string{or(s["program"], program)}}
		c.flags(s, "defaults_file", "--defaults-extra-file=") // has to come first
		c.Args = append(c.Args, "--single-transaction", "--routines", "--triggers", "--events", "--hex-blob")
		c.flags(s, "socket", "--socket=", "host", "--host=", "port", "--port=", "user", "--user=")
		// Without --databases the dump names no database, and can be loaded into any.
		c.Args = append(c.Args, or(s["database"], "--all-databases"))
		return c.as(s["as"])
	}
}

// flags appends a flag for each setting that is given.
func (c *Command) flags(s map[string]string, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if v := s[pairs[i]]; v != "" {
			c.Args = append(c.Args, pairs[i+1]+v)
		}
	}
}

// as lets the command run as another user.
func (c Command) as(user string) Command {
	if user != "" {
		c.Args = append([]string{"runuser", "-u", user, "--"}, c.Args...)
	}
	return c
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Resolve returns the command that dumps a database of the kind. The error wraps ErrSettings.
func Resolve(name string, settings map[string]string) (*Command, error) {
	k, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("%w: unknown kind %q; there are %s", ErrSettings, name, strings.Join(Kinds, ", "))
	}
	for key, value := range settings {
		if _, ok := k.settings[key]; !ok {
			return nil, fmt.Errorf("%w: %s has no %q; there are %s", ErrSettings, name, key, strings.Join(slices.Sorted(maps.Keys(k.settings)), ", "))
		}
		if strings.HasPrefix(value, "-") || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("%w: %s of %s may not begin with - or hold control characters", ErrSettings, key, name)
		}
	}
	for _, key := range k.required {
		if settings[key] == "" {
			return nil, fmt.Errorf("%w: %s needs %q", ErrSettings, name, key)
		}
	}
	c := k.command(settings)
	return &c, nil
}

// Environment returns a minimal environment with what env adds.
func Environment(env map[string]string) []string {
	all := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/"}
	maps.Copy(all, env)
	out := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, k+"="+all[k])
	}
	return out
}
