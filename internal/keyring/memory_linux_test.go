package keyring

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/memorytest"
	"github.com/snapkeep/snap/internal/seal"
)

// childFolder names the environment variable that makes this test program the
// process whose memory is searched.
const childFolder = "SNAP_KEYRING_TEST_CHILD"

// childAsWriter names the variable that makes the child open a full slot as a writer.
const childAsWriter = "SNAP_KEYRING_TEST_AS_WRITER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		if err := workInChild(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// workInChild opens the repository in folder with the key file of the role and does what
// a backup does with keys. Then it says so and stays until its input ends.
func workInChild(folder string) error {
	var files []File
	for _, name := range must(filepath.Glob(filepath.Join(folder, "keys", "*"))) {
		files = append(files, File{Name: SlotPrefix + filepath.Base(name), Data: must(os.ReadFile(name))})
	}
	config := must(ParseConfig(must(os.ReadFile(filepath.Join(folder, ConfigName)))))
	credential := must(AgeIdentities(must(io.ReadAll(io.LimitReader(os.Stdin, 75))), nil))
	if os.Getenv(childAsWriter) != "" {
		credential = credential.AsWriter()
	}
	o, err := Open(context.Background(), config, files, credential)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // as a command does
	k := must(NewContentKey(rand.Reader))
	wrapped := must(o.Secrets.WrapContentKey(k))
	ring := NewContentKeys(o.Secrets, config.ID, func(context.Context, seal.KeyID) ([]byte, error) { return wrapped.Data, nil })
	box := must(ring.Add(k).Seal(nil, 1, bytes.Repeat([]byte("file data "), 1000)))
	box = must(o.Secrets.Metadata(config.ID).Seal(box, 2, []byte("a tree")))
	var text string // what the search must find: the text that the slot was read from is garbage by now
	if o.Secrets.Role() == RoleFull {
		text = o.Secrets.identity.String()
	}
	fmt.Printf("%s sealed %d bytes\n", o.Secrets.Role(), len(box))
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(ring)
	runtime.KeepAlive(text)
	return nil
}

// TestWriterProcessHoldsNoIdentity searches all memory of a process that opened a
// writer's slot for the content identity in every form it has.
func TestWriterProcessHoldsNoIdentity(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	folder := t.TempDir()
	owner, writer := x25519Identity(), x25519Identity()
	slots := map[Role]File{
		RoleFull:   newSlot(t, c, s, must(ForAge(owner.public, nil)), RoleFull),
		RoleWriter: newSlot(t, c, s, must(ForAge(writer.public, nil)), RoleWriter),
	}
	write(t, filepath.Join(folder, ConfigName), c.Bytes())
	for _, f := range slots {
		write(t, filepath.Join(folder, f.Name), f.Data)
	}
	needles := identityNeedles(t, s)
	for name, needle := range needles {
		for role, f := range slots {
			if bytes.Contains(f.Data, needle) || bytes.Contains(ageOf(t, f), needle) {
				t.Errorf("the %s slot's file holds the %s", role, name)
			}
		}
	}
	if found := searchChild(t, folder, writer.secret, RoleWriter, needles); len(found) > 0 {
		t.Errorf("a writer's memory holds %v", found)
	}
	t.Setenv(childAsWriter, "1")
	if found := searchChild(t, folder, owner.secret, RoleWriter, needles); len(found) > 0 {
		t.Errorf("the memory of one who opened a full slot as a writer holds %v", found)
	}
	t.Setenv(childAsWriter, "")
	found := searchChild(t, folder, owner.secret, RoleFull, needles)
	if !found["seed"] || !found["identity"] {
		t.Errorf("the search does not find the identity where it is: found %v", found)
	}
}

type identityPair struct{ public, secret string }

func x25519Identity() identityPair {
	id := must(age.GenerateX25519Identity())
	return identityPair{id.Recipient().String(), id.String()}
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// identityNeedles returns the content identity as text, as its parts, and as bytes.
func identityNeedles(t testing.TB, s *Secrets) map[string][]byte {
	t.Helper()
	text := s.identity.String()
	seed, spelled := bech32Payload(t, text)
	return map[string][]byte{
		"identity":           []byte(text),
		"identity, lower":    []byte(strings.ToLower(text)),
		"payload":            []byte(strings.ToUpper(spelled)),
		"payload, lower":     []byte(spelled),
		"payload, last half": []byte(strings.ToUpper(spelled[len(spelled)/2:])),
		"seed":               seed,
		"seed, first half":   seed[:16],
		"seed, last half":    seed[16:],
		"seed in hex":        []byte(hex.EncodeToString(seed)),
	}
}

// searchChild runs a child that opens folder with secret and tells which needles its memory holds.
func searchChild(t *testing.T, folder, secret string, role Role, needles map[string][]byte) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must(os.Executable()))
	cmd.Env = append(os.Environ(), childFolder+"="+folder)
	cmd.Stderr = os.Stderr
	stdin, stdout := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(stdin, "%-75s", secret+"\n")
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, string(role)+" sealed") {
		t.Fatalf("child said %q, %v", line, err)
	}
	found := memorytest.Search(t, cmd.Process.Pid, needles)
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return found
}
