package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/pflag"
)

// whatFlags say what a backup reads.
type whatFlags struct {
	excludes, iexcludes, excludeFiles, iexcludeFiles []string
	excludeIfPresent                                 []string
	excludeCaches, oneFileSystem                     bool
	excludeLargerThan                                string
	filesFrom, filesVerbatim, filesRaw               []string
	readSpecial, withAtime, noXattrs                 bool
	stdin, stdinCommand, stdinEmpty                  bool
	stdinName                                        string
	streams                                          []string
}

func (w *whatFlags) register(f *pflag.FlagSet) {
	f.StringArrayVarP(&w.excludes, "exclude", "e", nil, "leave out what matches the `pattern` (repeatable)")
	f.StringArrayVar(&w.iexcludes, "iexclude", nil, "as --exclude, upper and lower case of the `pattern` alike (repeatable)")
	f.StringArrayVar(&w.excludeFiles, "exclude-file", nil, "read patterns from a `file` (repeatable)")
	f.StringArrayVar(&w.excludeFiles, "exclude-from", nil, "the same")
	f.StringArrayVar(&w.iexcludeFiles, "iexclude-file", nil, "as --exclude-file, upper and lower case of the patterns in the `file` alike (repeatable)")
	f.BoolVar(&w.excludeCaches, "exclude-caches", false, "leave out folders that a CACHEDIR.TAG marks as caches")
	f.StringArrayVar(&w.excludeIfPresent, "exclude-if-present", nil, "leave out folders with a file `name[:header]` in them (repeatable)")
	f.StringVar(&w.excludeLargerThan, "exclude-larger-than", "", "leave out files over this `size`")
	f.BoolVarP(&w.oneFileSystem, "one-file-system", "x", false, "stay on the file systems of the paths")
	f.StringArrayVar(&w.filesFrom, "files-from", nil, "read paths and patterns from a `file`, one a line (repeatable)")
	f.StringArrayVar(&w.filesVerbatim, "files-from-verbatim", nil, "read paths from a `file`, one a line, as they are (repeatable)")
	f.StringArrayVar(&w.filesRaw, "files-from-raw", nil, "read paths from a `file`, each with a zero byte behind it (repeatable)")
	f.BoolVar(&w.readSpecial, "read-special", false, "read the content of block devices that are given as paths")
	f.BoolVar(&w.withAtime, "with-atime", false, "keep access times")
	f.BoolVar(&w.noXattrs, "no-xattrs", false, "leave out extended attributes and ACLs")
	f.BoolVar(&w.stdin, "stdin", false, "save standard input as a file")
	f.BoolVar(&w.stdinCommand, "stdin-from-command", false, "run the arguments as a command, and save its output as a file")
	f.StringVar(&w.stdinName, "stdin-filename", "stdin", "`name` of the file of --stdin or --stdin-from-command")
	f.BoolVar(&w.stdinEmpty, "stdin-allow-empty", false, "make a snapshot even if standard input or the output of the command is empty")
	f.StringArrayVar(&w.streams, "stream", nil, "save the output of a shell command as a file: `name=command` (repeatable)")
	f.Lookup("exclude-from").Hidden = true
}

// sourceChoice is what a backup reads, and how the snapshot describes it.
type sourceChoice struct {
	source   repo.Source
	begin    func(ctx context.Context)       // lists files before the repository is open; nil for a source that has none
	check    func(ctx context.Context) error // fails if there cannot be a backup; nil if only reading can tell
	paths    []string
	excludes []string
	parts    []snapshot.Part
}

// source makes the source of a backup: paths, streams, or both side by side.
func (a *app) source(args []string, w *whatFlags) (*sourceChoice, error) {
	streams, err := a.streams(args, w)
	if err != nil {
		return nil, err
	}
	if w.stdinCommand {
		args = nil // they are the command
	}
	paths, err := a.paths(args, w)
	switch {
	case err != nil:
		return nil, err
	case len(paths) > 0 && (w.stdin || w.stdinCommand):
		return nil, usageError("paths beside --stdin or --stdin-from-command").withHint("use --stream NAME=COMMAND to save output beside paths")
	case len(paths) == 0 && streams == nil:
		return nil, usageError("nothing to back up: no path given").withHint("usage: snap backup PATH...")
	case len(paths) == 0:
		return streams, nil
	}
	files, err := a.localSource(paths, w)
	if err != nil || streams == nil {
		return files, err
	}
	return files.merge(streams), nil
}

// merge returns both side by side.
func (c *sourceChoice) merge(other *sourceChoice) *sourceChoice {
	return &sourceChoice{source: repo.Merge(c.source, other.source), begin: c.begin, check: c.check,
		paths: append(c.paths, other.paths...), excludes: c.excludes, parts: append(c.parts, other.parts...)}
}

// rootsOf returns what looks at the roots of src.
func rootsOf(src *local.Source) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := src.Check(ctx); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		return nil
	}
}

func (a *app) localSource(paths []string, w *whatFlags) (*sourceChoice, error) {
	o := local.Options{Roots: paths, KeepRoots: true, OneFileSystem: w.oneFileSystem, ExcludeCaches: w.excludeCaches, ExcludeIfPresent: w.excludeIfPresent,
		ReadSpecial: w.readSpecial, WithAtime: w.withAtime, NoXattrs: w.noXattrs}
	var patterns []string
	var err error
	if o.Exclude, patterns, err = a.lists("exclude", w.excludes, w.excludeFiles, w.iexcludes, w.iexcludeFiles); err != nil {
		return nil, err
	}
	if w.excludeLargerThan != "" {
		if o.ExcludeLargerThan, err = term.ParseSize(w.excludeLargerThan, 1); err != nil {
			return nil, usageError("--exclude-larger-than: %v", err)
		}
		if o.ExcludeLargerThan == 0 {
			return nil, usageError("--exclude-larger-than: 0 would leave out all but empty files")
		}
	}
	a.warnOfExcluded(paths, o.Exclude)
	if a.global.verbose > 1 {
		a.tellExcluded(&o)
	}
	src, err := local.New(o)
	if err != nil {
		return nil, usageError("%v", err)
	}
	choice := &sourceChoice{source: src, begin: src.Begin, check: rootsOf(src), paths: src.Roots(), excludes: patterns}
	for _, p := range choice.paths {
		choice.parts = append(choice.parts, snapshot.Part{Name: snapshot.Bytes(p), Kind: snapshot.PartTree, Path: snapshot.Bytes(p)})
	}
	return choice, nil
}

// lists compiles the patterns of a pair of flags and their files, with and without regard to case.
func (a *app) lists(flag string, plain, plainFiles, fold, foldFiles []string) (lists []*filter.List, all []string, err error) {
	for _, set := range []struct {
		name            string
		patterns, files []string
		fold            bool
	}{{"--" + flag, plain, plainFiles, false}, {"--i" + flag, fold, foldFiles, true}} {
		patterns := append([]string(nil), set.patterns...)
		for _, name := range set.files {
			more, err := a.patternsFrom(name)
			if err != nil {
				return nil, nil, fmt.Errorf("%s-file: %w", set.name, err)
			}
			patterns = append(patterns, more...)
		}
		list, err := filter.Compile(patterns, filter.Options{FoldCase: set.fold})
		if err != nil {
			return nil, nil, usageError("%s: %v", set.name, err)
		}
		if !list.Empty() {
			lists = append(lists, list)
		}
		all = append(all, patterns...)
	}
	return lists, all, nil
}

func (a *app) patternsFrom(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return filter.Read(f, a.getenv)
}

// maxListBytes bounds a file of paths.
const maxListBytes = 1 << 30

// paths returns the paths of the arguments and of the files that name some.
func (a *app) paths(args []string, w *whatFlags) ([]string, error) {
	for _, arg := range args {
		a.warnOfLink(arg)
	}
	paths := append([]string(nil), args...)
	for _, name := range w.filesFrom {
		more, err := a.globsFrom(name)
		if err != nil {
			return nil, fmt.Errorf("--files-from: %w", err)
		}
		paths = append(paths, more...)
	}
	for _, name := range w.filesVerbatim {
		data, err := a.readList(name)
		if err != nil {
			return nil, fmt.Errorf("--files-from-verbatim: %w", err)
		}
		paths = append(paths, pieces(data, "\n")...)
	}
	for _, name := range w.filesRaw {
		data, err := a.readList(name)
		if err != nil {
			return nil, fmt.Errorf("--files-from-raw: %w", err)
		}
		if len(data) > 0 && data[len(data)-1] != 0 {
			return nil, fmt.Errorf("--files-from-raw: %q ends within a path: no zero byte at the end", name)
		}
		paths = append(paths, pieces(data, "\x00")...)
	}
	for i, path := range paths {
		var err error
		if paths[i], err = named(path); err != nil {
			return nil, fmt.Errorf("backup: root %q: %w: %w", path, repo.ErrRootMissing, err)
		}
	}
	return paths, nil
}

// named returns the path of what the system finds by path. A link with a slash behind it stands for the folder that it leads
// to, and link/.. for the folder above that one: without looking, it would be the one that the link lies in.
func named(path string) (string, error) {
	if endsInSlash(path) {
		if info, err := os.Lstat(filepath.Clean(path)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return filepath.EvalSymlinks(path)
		}
	}
	if !strings.Contains(path, "..") {
		return path, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path, nil // which is said when it is read
	}
	found, err := os.Lstat(path)
	if err != nil {
		return path, nil // the same
	}
	if cleaned, err := os.Lstat(abs); err == nil && os.SameFile(found, cleaned) {
		return path, nil
	}
	dir, name := filepath.Split(path)
	if name == ".." || name == "." || name == "" {
		return filepath.EvalSymlinks(path)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}

func endsInSlash(path string) bool {
	return strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.")
}

// warnOfLink warns of a path that is a link to a folder: all that is saved of it is the link.
func (a *app) warnOfLink(path string) {
	if endsInSlash(path) {
		return
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		a.warn(fmt.Sprintf("%s is a link, and is saved as one, without the folder that it leads to; with a slash behind it the folder is saved", term.Name(path)))
	}
}

func (a *app) readList(name string) ([]byte, error) {
	var r io.Reader = a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxListBytes+1))
	if err == nil && len(data) > maxListBytes {
		err = fmt.Errorf("%q is over %s", name, term.Size(maxListBytes))
	}
	return data, err
}

func pieces(data []byte, end string) (list []string) {
	for piece := range strings.SplitSeq(string(data), end) {
		if piece != "" {
			list = append(list, piece)
		}
	}
	return list
}

// globsFrom reads lines that are paths or patterns of paths. A pattern that matches nothing is
// taken as a path, so that it is reported as missing.
func (a *app) globsFrom(name string) ([]string, error) {
	data, err := a.readList(name)
	if err != nil {
		return nil, err
	}
	var paths []string
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		line := strings.TrimSpace(string(line))
		if line == "" || line[0] == '#' {
			continue
		}
		found, err := filepath.Glob(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if len(found) == 0 {
			found = []string{line}
		}
		paths = append(paths, found...)
	}
	return paths, nil
}
