package main

import (
	"context"
	"os/exec"
	"strings"

	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/repo"
)

// streams makes the source of standard input and of commands, nil if none was asked for.
func (a *app) streams(args []string, w *whatFlags) (*sourceChoice, error) {
	var list []repo.Stream
	choice := &sourceChoice{}
	add := func(s repo.Stream, command string) {
		s.AllowEmpty = w.stdinEmpty
		list = append(list, s)
		choice.paths = append(choice.paths, "/"+s.Name)
		choice.parts = append(choice.parts, snapshot.Part{Name: snapshot.Bytes(s.Name), Kind: snapshot.PartStream,
			Path: snapshot.Bytes("/" + s.Name), Command: snapshot.Bytes(command)})
	}
	name := strings.TrimPrefix(w.stdinName, "/")
	switch {
	case w.stdin && w.stdinCommand:
		return nil, usageError("--stdin and --stdin-from-command exclude each other")
	case w.stdin:
		add(repo.FromReader(name, a.stdin), "")
	case w.stdinCommand && len(args) == 0:
		return nil, usageError("--stdin-from-command: no command given").withHint("usage: snap backup --stdin-from-command -- COMMAND...")
	case w.stdinCommand:
		add(repo.FromCommand(name, repo.Command{Args: args, Stderr: &lineWriter{app: a}}), strings.Join(args, " "))
	}
	for _, word := range w.streams {
		name, command, ok := strings.Cut(word, "=")
		if !ok || command == "" {
			return nil, usageError("--stream: %q is not NAME=COMMAND", word)
		}
		add(repo.FromCommand(name, repo.Command{Args: []string{"/bin/sh", "-c", command}, Stderr: &lineWriter{app: a}}), command)
	}
	if list == nil {
		return nil, nil
	}
	var err error
	if w.stdinCommand {
		choice.check = func(context.Context) error {
			if _, err := exec.LookPath(args[0]); err != nil {
				return fail(exitFatal, "backup: command %q: %w", args[0], err).withHint("check its name, and PATH")
			}
			return nil
		}
	}
	if choice.source, err = repo.FromStreams(list...); err != nil {
		return nil, usageError("%v", err)
	}
	return choice, nil
}
