package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

// Exit codes. Scripts rely on them: numbers are never changed or used again.
const (
	exitOK           = 0
	exitFatal        = 1
	exitCrash        = 2 // of the Go runtime
	exitPartial      = 3
	exitNoRepository = 10
	exitLocked       = 11
	exitWrongKey     = 12
	exitNoSource     = 20
	exitHostKey      = 21
	exitRefused      = 22
	exitRootMissing  = 23
	exitAnomaly      = 24
	exitDamage       = 30
	exitDrill        = 31
	exitOverdue      = 32
	exitImmutable    = 40
	exitNoSpace      = 41
	exitReadOnly     = 42
	exitRolledBack   = 43
	exitNotification = 50
	exitUsage        = 60
	exitNoSnapshot   = 61
	exitAmbiguous    = 62
	exitNewer        = 63
	exitWriterKey    = 64
	exitInterrupted  = 130
	exitPipe         = 141
)

// exitCodes is the table of help and manual.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitOK, "all was done"},
	{exitFatal, "failed; backup: no snapshot was made"},
	{exitCrash, "the program crashed"},
	{exitPartial, "done in part; backup: a snapshot was made, something could not be read; restore: something could not be set; forget: something was not removed"},
	{exitNoRepository, "there is no repository"},
	{exitLocked, "somebody else is at work: a program that writes beside prune --now, or another pull of the same source"},
	{exitWrongKey, "wrong passphrase or key"},
	{exitNoSource, "the source cannot be reached"},
	{exitHostKey, "the source's host key is not the known one"},
	{exitRefused, "the source refused: no permission"},
	{exitRootMissing, "a guard tripped: the root of a source is missing or empty"},
	{exitAnomaly, "a guard tripped: the source changed more than allowed"},
	{exitDamage, "something in the repository is damaged"},
	{exitDrill, "kept for restore drills; no command ends with it"},
	{exitOverdue, "a backup is overdue"},
	{exitImmutable, "the storage forbids the change for now"},
	{exitNoSpace, "no space or quota left"},
	{exitReadOnly, "the place to write to is read-only, or writing is not permitted"},
	{exitRolledBack, "the repository is not what it was: snapshots that this machine has seen are gone, or its secrets are others"},
	{exitNotification, "kept for notifications; no command ends with it"},
	{exitUsage, "wrong use: unknown command, flag or value"},
	{exitNoSnapshot, "no such snapshot, or no such path in it"},
	{exitAmbiguous, "a short id stands for several snapshots"},
	{exitNewer, "the repository was made by a newer version of snap"},
	{exitWriterKey, "this key may not read file data"},
	{exitInterrupted, "interrupted"},
	{exitPipe, "whoever read the output ended before all was written; what else there was to do was done"},
}

// failure is an error with an exit code of its own, and a hint.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (f *failure) withHint(hint string) *failure {
	f.hint = hint
	return f
}

func fail(code int, format string, args ...any) *failure {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

func usageError(format string, args ...any) *failure { return fail(exitUsage, format, args...) }

// errPartial says that a command did its work but for what it has reported already.
var errPartial = errors.New("not everything could be done")

// rule says which exit code and hint an error of the library has.
type rule struct {
	is   func(error) bool
	code int
	hint string
}

func target(err error) func(error) bool { return func(e error) bool { return errors.Is(e, err) } }

func anyOf(targets ...error) func(error) bool {
	return func(e error) bool {
		for _, t := range targets {
			if errors.Is(e, t) {
				return true
			}
		}
		return false
	}
}

// archivedHint says what helps where packs cannot be read because they are in an archive.
const archivedHint = "name a command that brings packs from the archive: --warm-up; see the guide on an S3 cluster"

// rules are tried in order; the first that fits decides.
var rules = []rule{
	{anyOf(errInterrupted, context.Canceled), exitInterrupted, "run the same command again; what was done already is used"},
	{target(errPartial), exitPartial, ""},
	{target(repo.ErrNoRepository), exitNoRepository, "check the place, or make a repository there: snap init"},
	{target(repo.ErrExists), exitFatal, "choose an empty folder, or use the repository that is there"},
	{target(repo.ErrRolledBack), exitRolledBack, "find out who changed the storage; if it was restored or cleared on purpose, run once with --accept-rollback"},
	{target(keyring.ErrConfigSwapped), exitDamage, "snap.json was replaced or changed; put the original back"},
	{repo.IsNewer, exitNewer, "use a newer version of snap"},
	{anyOf(repo.ErrWrongPassphrase, keyring.ErrKeyFilePassphrase), exitWrongKey, "check which passphrase or key file is used; nothing can be read without it"},
	{target(repo.ErrNoSlot), exitWrongKey, "open the repository with another kind of key; see: snap help key"},
	{target(keyring.ErrKeyFile), exitWrongKey, "give an age identity file or an SSH private key with --identity-file"},
	{target(repo.ErrCannotReadData), exitWriterKey, "use a key with the role full"},
	{target(repo.ErrArchived), exitFatal, archivedHint},
	{target(repo.ErrHidden), exitDamage, "find out who removed them; read all as it was before: --as-of TIME, for instance with snap copy to another place"},
	{target(repo.ErrCannotLock), exitUsage, "use an S3 bucket that was made with Object Lock; snap init --object-lock makes one"},
	{target(repo.ErrNotLocked), exitUsage, "ask for it first: snap settings set --object-lock compliance --lock-days 30"},
	{target(repo.ErrMayNotRemove), exitReadOnly, "use credentials that may remove files; backups need none that may"},
	{target(repo.ErrOtherRepository), exitFatal, "a replica holds one repository: choose an empty place for another one"},
	{target(repo.ErrSameRepository), exitUsage, "give the place of another repository; for another copy of the same one see snap replicate"},
	{target(repo.ErrLastFullSlot), exitFatal, "add another key with the role full first: snap key add"},
	{target(repo.ErrNoSnapshot), exitNoSnapshot, "list them with: snap snapshots"},
	{target(repo.ErrAmbiguous), exitAmbiguous, "give more digits of the id; list them with: snap snapshots"},
	{target(repo.ErrDamagedFound), exitDamage, "keep a copy of the repository as it is before anything else is tried"},
	{target(repo.ErrSubset), exitUsage, "write it as 1/7, 10% or 500M: --read-data-subset"},
	{target(repo.ErrBusy), exitLocked, "wait until the other program has ended, or leave --now out"},
	{anyOf(repo.ErrOvertaken, repo.ErrSettingsContended), exitFatal, "run the same command again"},
	{target(repo.ErrLastOfSource), exitFatal, "name snapshots to keep, or add --unsafe-allow-remove-all"},
	{target(repo.ErrClockSkew), exitFatal, "set the clocks right first: removal goes by time"},
	{target(repo.ErrRootMissing), exitFatal, "check the path; is the disk mounted?"},
	{target(repo.ErrEmpty), exitFatal, "see who may read the folders that are named above; to save them as they are, add --allow-empty"},
	{target(repo.ErrStream), exitFatal, "run the command by itself to see what is wrong with it; where no output is well, add --stdin-allow-empty"},
	{target(repo.ErrVerify), exitDamage, "test this machine's memory before the next backup"},
	{repo.IsDamage, exitDamage, "find out how much is affected: snap check --read-data"},
	{anyOf(syscall.ENOSPC, syscall.EDQUOT), exitNoSpace, "free space there, then run the same command again"},
	{target(syscall.EROFS), exitReadOnly, "mount the file system writable, or choose another place"},
	{target(fs.ErrPermission), exitReadOnly, "check owner and permissions, or run as another user"},
	{anyOf(fs.ErrNotExist, syscall.ENOTDIR), exitFatal, "check the path; is the disk mounted?"},
}

// fallbackHints are for errors that come without one.
var fallbackHints = map[int]string{
	exitNoRepository: "check --repo, SNAP_REPOSITORY and the like",
	exitWrongKey:     "check --password-file, --identity-file, SNAP_PASSWORD_FILE and the like",
}

// classify returns the exit code and the hint of an error.
func classify(err error) (code int, hint string) {
	var f *failure
	if errors.As(err, &f) && f.hint != "" {
		return f.code, f.hint
	}
	if f != nil {
		return f.code, ""
	}
	for _, r := range rules {
		if r.is(err) {
			return r.code, r.hint
		}
	}
	return exitFatal, ""
}

// report prints the error that ended the program and returns the exit code.
func (a *app) report(err error) int {
	code, hint := classify(err)
	message := err.Error()
	if a.safe != "" && code != exitUsage && code != exitPartial {
		message += "; " + a.safe
	}
	switch {
	case hint == "" && code == exitUsage:
		hint = "run: " + a.command + " --help"
	case hint == "":
		hint = fallbackHints[code]
	}
	if note := a.foreignEnvironment(code); note != "" {
		hint = note
	}
	if a.jsonWanted() {
		a.jsonTo(a.stderr, exitError{MessageType: "exit_error", Code: code, Message: message, Hint: hint})
		return code
	}
	a.line(a.stderr, "snap: "+message)
	if hint != "" {
		a.line(a.stderr, "hint: "+hint)
	}
	return code
}

type exitError struct {
	MessageType string `json:"message_type"`
	Code        int    `json:"code"`
	Message     string `json:"message"`
	Hint        string `json:"hint,omitempty"`
}

// jsonWanted reports whether errors have to be JSON, even if the flags could not be parsed.
func (a *app) jsonWanted() bool {
	for _, arg := range a.args {
		if arg == "--" {
			break
		}
		if arg == "--json" || arg == "--json=true" {
			return true
		}
	}
	return a.global.json
}

// exitCodesCommand is a help topic.
func (a *app) exitCodesCommand() *cobra.Command {
	var b strings.Builder
	b.WriteString("snap tells by its exit code what happened. A code that is not listed means failure.\n\n")
	for _, c := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", c.code, c.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(b.String(), "\n")}
}
