package dbtest_test

import (
	"os/exec"
	"testing"

	"github.com/snapkeep/snap/internal/dbtest"
)

func TestServers(t *testing.T) {
	for _, client := range [][]string{
		{"psql", "-h", dbtest.PostgreSQL(t), "-U", "postgres", "-Atc", "SELECT 6*7"},
		{"mariadb", "--no-defaults", "--socket=" + dbtest.MariaDB(t), "--user=root", "-Ne", "SELECT 6*7"},
	} {
		out, err := exec.Command(client[0], client[1:]...).Output()
		if err != nil || string(out) != "42\n" {
			t.Errorf("%s: %q, %v", client[0], out, err)
		}
	}
}
