package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// remoteParams run scripts with an S3 server at $S3 (a location without bucket; buckets can have Object Lock), and an SFTP server that $SSH
// connects to as $SFTP, a location of a folder that is empty.
func remoteParams(t *testing.T, dir string) testscript.Params {
	objects := s3test.StartWith(t, s3test.Options{Versions: true, Accounts: true})
	ssh := sshdtest.Start(t, sshdtest.Options{})
	keys := filepath.Join(ssh.Home, ".ssh")
	archive := startArchive(t, objects)
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			for name, value := range map[string]string{
				"HOME": home, "TZ": "UTC", "SNAP_HOST": "box",
				"ARCHIVE": "s3:" + archive.URL, "WARM": filepath.Join(archive.folder, filepath.Base(e.WorkDir)),
				"S3": "s3:http://" + objects.Proxy.Addr(), "AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey,
				"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1",
				"SFTP":    "sftp://" + ssh.Address().String() + filepath.Join(e.WorkDir, "remote"),
				"SSH":     "ssh -F none -o BatchMode=yes -o IdentityAgent=none -i '" + keys + "/id_ed25519' -o 'UserKnownHostsFile=" + keys + "/known_hosts'",
				"SSHKEYS": keys, "SSHD": ssh.Address().String(),
			} {
				e.Setenv(name, value)
			}
			return os.Mkdir(home, 0o755)
		},
		Condition: condition,
		Cmds:      remoteCommands(t, objects),
	}
}

// remoteCommands are the commands of scripts about other machines.
func remoteCommands(t *testing.T, objects *s3test.Server) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exit":    exitCommand,
		"capture": captureCommand,
		"live":    liveCommand(t),
		"expand":  expandCommand,
		"render":  renderCommand,
		"machine": machineCommand(t),
		"attack":  func(ts *testscript.TestScript, neg bool, args []string) { attackCommand(ts, objects, args) },
		"hide":    func(ts *testscript.TestScript, neg bool, args []string) { hideCommand(ts, objects, args) },
		"writer":  func(ts *testscript.TestScript, neg bool, args []string) { writerCommand(ts, objects, args) },
	}
}

// TestRemoteScripts runs the scripts about repositories on other machines.
func TestRemoteScripts(t *testing.T) { testscript.Run(t, remoteParams(t, "testdata/remote")) }

// renderCommand is `render TEMPLATE FILE`: writes a file with the values of the variables that the template names as ${NAME}.
func renderCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: render template file")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// writerCommand is `writer ACCOUNT BUCKET`: there is an account that may add to a bucket and delete nothing. Its secret is the server's.
func writerCommand(ts *testscript.TestScript, server *s3test.Server, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: writer account bucket")
	}
	ts.Check(server.AddWriter(args[0], args[1]))
}

// hideCommand is `hide BUCKET FOLDER`: somebody removes the files of a folder of the repository, of which there are versions.
func hideCommand(ts *testscript.TestScript, server *s3test.Server, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: hide bucket folder")
	}
	ts.Check(server.Hide(args[0], "/"+args[1]))
}

// attackCommand is `attack BUCKET`: somebody who has all keys deletes, version by version, whatever the server lets him.
func attackCommand(ts *testscript.TestScript, server *s3test.Server, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: attack bucket")
	}
	ts.Check(server.DeleteAll(args[0]))
}
