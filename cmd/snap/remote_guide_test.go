package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// Times and places in guides for which the reader has to put others.
const (
	guideS3   = "https://s3.example.com"
	guideTime = "2026-03-01 18:00:00"
	// guideFolder is a folder of a machine; here it lies in that of the test.
	guideFolder = "/htdocs"
)

// guideHosts are the machines that guides reach with SSH.
type guideHosts struct {
	nas, first string // folders in which they begin
	config     string // of ssh
}

// startGuideHosts starts an SFTP server that may do all, one that only adds, and one that only reads.
func startGuideHosts(t *testing.T) *guideHosts {
	g := &guideHosts{nas: t.TempDir(), first: t.TempDir()}
	for name, arguments := range map[string]string{
		"nas":     "-d " + g.nas,
		"nas-add": "-d " + g.nas + " -P remove,rmdir,rename,posix-rename,setstat,fsetstat,symlink",
		"first":   "-d " + g.first + " -R",
	} {
		s := sshdtest.Start(t, sshdtest.Options{SFTP: arguments})
		keys := filepath.Join(s.Home, ".ssh")
		g.config += fmt.Sprintf("Host %s\n\tHostName 127.0.0.1\n\tPort %d\n\tUser %s\n\tIdentityFile \"%s/id_ed25519\"\n\tUserKnownHostsFile \"%s/known_hosts\"\n",
			name, s.Port, s.User, keys, keys)
	}
	return g
}

// TestRemoteGuides follows the guides about repositories on other machines, with an S3 server and SFTP servers under the names that
// the guides use.
func TestRemoteGuides(t *testing.T) {
	dir, err := filepath.Abs(guides)
	if err != nil {
		t.Fatal(err)
	}
	objects := s3test.StartWith(t, s3test.Options{Versions: true, Accounts: true})
	hosts := startGuideHosts(t)
	webspace := sshdtest.Start(t, sshdtest.Options{})
	credentials := fmt.Sprintf("[backup]\naws_access_key_id = %s\naws_secret_access_key = %s\n[writer]\naws_access_key_id = adder\naws_secret_access_key = %s\n",
		s3test.AccessKey, s3test.SecretKey, s3test.SecretKey)
	params := remoteCommands(t, objects)
	params["guide"] = func(ts *testscript.TestScript, neg bool, args []string) {
		guideCommand(ts, neg, dir, strings.NewReplacer(guideS3, "http://"+objects.Proxy.Addr(), guideTime, ts.Getenv("BEFORE"), guideFolder, ts.Getenv("WORK")+guideFolder), args)
	}
	params["guidefile"] = func(ts *testscript.TestScript, neg bool, args []string) { guideFileCommand(ts, dir, args) }
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/remote-guides",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                params,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			e.Setenv("TZ", "UTC")
			e.Setenv("SSHKEYS", filepath.Join(webspace.Home, ".ssh"))
			e.Setenv("SSHD", webspace.Address().String())
			for name, text := range map[string]string{".ssh/config": hosts.config, ".aws/credentials": credentials} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o700); err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			if err := os.Symlink(hosts.nas, filepath.Join(e.WorkDir, "nas")); err != nil {
				return err
			}
			return os.Symlink(hosts.first, filepath.Join(e.WorkDir, "first"))
		},
	})
}
