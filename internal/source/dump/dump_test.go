package dump

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/snapkeep/snap/internal/source"
)

func TestCheck(t *testing.T) {
	long := strings.Repeat("INSERT INTO t VALUES (1);\n", 1000)
	const pg, cluster = "--\n-- PostgreSQL database dump\n--\n\n", "--\n-- PostgreSQL database cluster dump\n--\n\n"
	const pgEnd, clusterEnd = "--\n-- PostgreSQL database dump complete\n--\n\n", "--\n-- PostgreSQL database cluster dump complete\n--\n\n"
	tests := []struct {
		name, kind, text string
		good             bool
	}{
		{"postgresql", KindPostgreSQL, pg + long + pgEnd, true},
		{"postgresql, restricted", KindPostgreSQL, pg + long + pgEnd + "\\unrestrict x1\n\n", true},
		{"postgresql cluster", KindPostgreSQL, cluster + long + pgEnd + long + pgEnd + clusterEnd, true},
		{"postgresql cluster, cut behind a database", KindPostgreSQL, cluster + long + pgEnd, false},
		{"postgresql, cut", KindPostgreSQL, pg + long, false},
		{"postgresql, cut in the mark", KindPostgreSQL, pg + long + "--\n-- PostgreSQL database dump comp", false},
		{"postgresql, data that looks like the end", KindPostgreSQL, pg + long + "-- PostgreSQL database dump complete\n\n1\ttext\n", false},
		{"postgresql, something behind the end", KindPostgreSQL, pg + pgEnd + "1\ttext\n", false},
		{"mariadb", KindMariaDB, long + "-- Dump completed on 2026-01-01 10:00:00\n", true},
		{"mariadb, cut", KindMariaDB, long, false},
		{"mysql, cut", KindMySQL, long, false},
		{"sqlite", KindSQLite, "BEGIN TRANSACTION;\n" + long + "COMMIT;\n", true},
		{"sqlite, with errors", KindSQLite, "BEGIN TRANSACTION;\n" + long + "ROLLBACK; -- due to errors\n", false},
		{"sqlite, cut behind data that looks like the end", KindSQLite, "INSERT INTO t VALUES('\nCOMMIT;\n');\nINSERT", false},
		{"empty", KindSQLite, "", false},
		{"a command has no mark", KindCommand, "anything", true},
		{"unknown", "", "anything", true},
	}
	for _, test := range tests {
		for way, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader} {
			r := Check(test.kind, io.NopCloser(wrap(strings.NewReader(test.text))))
			data, err := io.ReadAll(r)
			if (err == nil) != test.good || (err != nil && !errors.Is(err, source.ErrStream)) || string(data) != test.text {
				t.Errorf("%s, %s: %d bytes, %v", test.name, way, len(data), err)
			}
			if _, again := r.Read(make([]byte, 1)); err != nil && again != err {
				t.Errorf("%s, %s: it ended badly, and then %v", test.name, way, again)
			}
		}
	}
}

func TestCheckKeepsErrors(t *testing.T) {
	broken := errors.New("broken")
	_, err := io.ReadAll(Check(KindSQLite, io.NopCloser(io.MultiReader(strings.NewReader("COMMIT;\n"), iotest.ErrReader(broken)))))
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		kind     string
		settings map[string]string
		args     string
		env      string
	}{
		{KindPostgreSQL, nil, "pg_dumpall --no-password", ""},
		{KindPostgreSQL, map[string]string{"database": "crm", "host": "/run/pg", "port": "5433", "user": "u", "as": "postgres", "passfile": "/etc/pass"},
			"runuser -u postgres -- pg_dump --format=plain --no-password --host=/run/pg --port=5433 --username=u --dbname=crm", "PGPASSFILE=/etc/pass"},
		{KindPostgreSQL, map[string]string{"database": "crm", "program": "/opt/pg_dump"}, "/opt/pg_dump --format=plain --no-password --dbname=crm", ""},
		{KindMariaDB, map[string]string{"defaults_file": "/etc/my", "socket": "/s"},
			"mariadb-dump --defaults-extra-file=/etc/my --single-transaction --routines --triggers --events --hex-blob --socket=/s --all-databases", ""},
		{KindMySQL, map[string]string{"database": "shop", "as": "mysql"},
			"runuser -u mysql -- mysqldump --single-transaction --routines --triggers --events --hex-blob shop", ""},
		{KindSQLite, map[string]string{"file": "/srv/app.db"}, "sqlite3 -readonly -bail /srv/app.db .dump", ""},
	}
	for _, test := range tests {
		c, err := Resolve(test.kind, test.settings)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(c.Args, " "); got != test.args {
			t.Errorf("%s %v: %s", test.kind, test.settings, got)
		}
		if env := Environment(c.Env); test.env != "" && !slices.Contains(env, test.env) || !slices.Contains(env, "LC_ALL=C") {
			t.Errorf("%s %v: environment %q", test.kind, test.settings, env)
		}
	}
	for _, test := range []struct {
		kind     string
		settings map[string]string
		says     string
	}{
		{"oracle", nil, "unknown kind"},
		{KindCommand, nil, "unknown kind"},
		{KindPostgreSQL, map[string]string{"socket": "/s"}, `postgresql has no "socket"; there are as, database, `},
		{KindPostgreSQL, map[string]string{"database": "--file=/etc/x"}, "begin with -"},
		{KindMariaDB, map[string]string{"database": "a\nb"}, "control characters"},
		{KindSQLite, nil, `sqlite needs "file"`},
	} {
		if _, err := Resolve(test.kind, test.settings); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %v: %v", test.kind, test.settings, err)
		}
	}
}
