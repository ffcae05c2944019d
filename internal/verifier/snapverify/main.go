// Command snapverify reads a repository by its format's document alone, without the engine.
//
//	snapverify -password-file FILE REPOSITORY             check everything, list all files with hashes
//	snapverify -identity-file FILE -index REPOSITORY      the same with an age key, by the index
//	snapverify -password-file FILE -extract DIR REPOSITORY SNAPSHOT
//
// The passphrase may also stand in SNAP_PASSWORD. It exits with 0 if all is well, 1 if something is
// damaged, which is named on standard error, and 2 if nothing could be read.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/snapkeep/snap/internal/verifier"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("snapverify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	password := flags.String("password-file", "", "`file` with the passphrase in its first line")
	identity := flags.String("identity-file", "", "`file` with age identities")
	useIndex := flags.Bool("index", false, "find chunks by the index instead of the packs' directories")
	extract := flags.String("extract", "", "write the files of a snapshot to this empty `folder`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	damaged, err := verify(request{*password, *identity, *extract, *useIndex, flags.Args()}, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "snapverify:", err)
		return 2
	}
	if damaged > 0 {
		fmt.Fprintf(stderr, "snapverify: %d damaged\n", damaged)
		return 1
	}
	return 0
}

// request is the command line.
type request struct {
	password, identity, extract string
	useIndex                    bool
	args                        []string
}

func verify(q request, stdout, stderr io.Writer) (damaged int, err error) {
	want := 1
	if q.extract != "" {
		want = 2
	}
	if len(q.args) != want {
		return 0, errors.New("want a repository, and with -extract a snapshot")
	}
	credential, err := q.credential()
	if err != nil {
		return 0, err
	}
	r, err := verifier.Open(os.DirFS(q.args[0]), credential, verifier.Options{UseIndex: q.useIndex, Damage: func(what string, err error) {
		fmt.Fprintf(stderr, "damaged: %s: %v\n", printable(what), printable(err.Error()))
	}})
	if err != nil {
		return 0, err
	}
	if q.extract != "" {
		err := r.Extract(q.extract, q.args[1])
		return r.Damaged(), err
	}
	out := bufio.NewWriter(stdout)
	err = r.Verify(out)
	return r.Damaged(), errors.Join(err, out.Flush())
}

// printable quotes what would do something to a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || (c >= 0x7f && c < 0xa0) || c == '\uFFFD' }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func (q *request) credential() (*verifier.Credential, error) {
	switch {
	case q.identity != "":
		data, err := os.ReadFile(q.identity)
		if err != nil {
			return nil, err
		}
		return verifier.Identities(bytes.NewReader(data))
	case q.password != "":
		data, err := os.ReadFile(q.password)
		if err != nil {
			return nil, err
		}
		line, _, _ := strings.Cut(string(data), "\n")
		return verifier.Passphrase(strings.TrimSuffix(line, "\r"))
	}
	return verifier.Passphrase(os.Getenv("SNAP_PASSWORD"))
}
