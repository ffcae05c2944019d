package nss

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Home returns the home folder of the user of this process as /etc/passwd has it, empty if it has none: services of a system are often started
// without HOME.
func Home() string { return thisMachine.home(os.Getuid()) }

func (m *machine) home(uid int) string {
	f, err := os.Open(filepath.Join(m.etc, "passwd"))
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Split(lines.Text(), ":"); len(fields) == 7 && fields[2] == strconv.Itoa(uid) && filepath.IsAbs(fields[5]) {
			return fields[5]
		}
	}
	return ""
}
