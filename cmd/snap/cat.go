package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/inspect"
	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
)

func (a *app) catCommand() *cobra.Command {
	var sel selection
	c := &cobra.Command{
		Use:     "cat config | key ID | snapshot SNAPSHOT | tree SNAPSHOT[:FOLDER] | index ID | blob ID",
		GroupID: "keep",
		Short:   "Print what the repository holds inside",
		Long: `Print what the repository holds inside, to look for a fault: as JSON, and a blob (a
chunk of a file, or a page of a tree) as it is. Use dump to get files.`,
		Example: `  snap cat config
  snap cat key 5f2c
  snap cat snapshot latest
  snap cat tree latest:/etc
  snap cat index 9a31
  snap cat blob 73f5dd9ff9fa9a1965287c7a98afbd67`,
		Args:        between(1, 2, "a kind and a name"),
		Annotations: safe("nothing was changed"),
		RunE:        func(c *cobra.Command, args []string) error { return a.cat(c.Context(), args, sel.filter()) },
	}
	sel.register(c.Flags())
	return c
}

func (a *app) cat(ctx context.Context, args []string, f repo.Filter) error {
	kind, name := args[0], ""
	if len(args) == 2 {
		name = args[1]
	}
	switch kind {
	case "snapshot", "tree":
		return a.withRepo(ctx, func(r *repo.Repo) error { return a.catSnapshot(ctx, r, kind, name, f) })
	case "config", "key", "index", "blob":
	default:
		return usageError("%q is not config, key, snapshot, tree, index or blob", kind)
	}
	if (kind == "config") != (name == "") {
		return usageError("snap cat %s: want %s", kind, map[bool]string{true: "no name", false: "an id"}[kind == "config"])
	}
	return a.catRaw(ctx, kind, name)
}

// catRaw prints what package repo does not show.
func (a *app) catRaw(ctx context.Context, kind, name string) error {
	at, err := a.place()
	if err != nil {
		return err
	}
	store, err := a.openStore(ctx, at, a.global.asOf != "")
	if err != nil {
		return err
	}
	defer store.Close()
	credential, err := a.openingCredential(ctx, at)
	if err != nil {
		return err
	}
	r, err := inspect.Open(ctx, store, credential)
	if err != nil {
		return err
	}
	err = a.catFile(ctx, r, kind, name)
	if errors.Is(err, inspect.ErrID) {
		return usageError("%s %w", kind, err)
	}
	return err
}

func (a *app) catFile(ctx context.Context, r *inspect.Repository, kind, name string) error {
	switch kind {
	case "config":
		data, err := r.Config(ctx)
		return a.catJSON(json.RawMessage(data), err)
	case "key":
		data, err := r.Slot(ctx, name)
		return a.catJSON(json.RawMessage(data), err)
	case "index":
		file, err := r.Index(ctx, name)
		return a.catJSON(newIndexJSON(file), err)
	}
	id, err := pack.ParseChunkID(name)
	if err != nil {
		return usageError("%v", err)
	}
	data, err := r.Chunk(ctx, id)
	if err == nil {
		_, err = a.out.Write(data)
	}
	return err
}

func (a *app) catSnapshot(ctx context.Context, r *repo.Repo, kind, word string, f repo.Filter) error {
	if word == "" {
		return usageError("snap cat %s: want a snapshot", kind)
	}
	word, path := splitPath(word)
	s, err := r.Find(ctx, word, f)
	if err != nil {
		return err
	}
	if kind == "snapshot" {
		return a.catJSON(s, nil)
	}
	entries, err := r.ReadDir(ctx, s, path)
	if err != nil {
		return noSuchPath(s, path, err)
	}
	nodes := make([]treeNode, len(entries))
	for i := range entries {
		nodes[i] = newTreeNode(below(strings.Trim(path, "/"), entries[i].Name), &entries[i])
	}
	return a.catJSON(nodes, nil)
}

// catJSON prints a value as indented JSON.
func (a *app) catJSON(v any, err error) error {
	if err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	for line := range strings.Lines(string(encoded)) {
		a.out.Write(term.JSON([]byte(strings.TrimSuffix(line, "\n"))))
		a.out.WriteByte('\n')
	}
	return nil
}

type treeNode struct {
	nodeJSON
	Xattrs  map[string][]byte `json:"extended_attributes,omitempty"`
	Flags   uint32            `json:"flags,omitempty"`
	Listed  bool              `json:"content_is_list,omitempty"`
	Content []chunkJSON       `json:"content,omitempty"`
}

type chunkJSON struct {
	ID     string `json:"id,omitempty"` // empty for a hole
	Length int64  `json:"length"`
}

func newTreeNode(path string, x *repo.Entry) treeNode {
	n := treeNode{nodeJSON: newNode(path, x), Flags: x.Flags, Listed: x.Listed}
	for _, attr := range x.Xattrs {
		if n.Xattrs == nil {
			n.Xattrs = map[string][]byte{}
		}
		n.Xattrs[attr.Name] = []byte(attr.Value)
	}
	for _, p := range x.Parts {
		n.Content = append(n.Content, partJSON(p))
	}
	return n
}

func partJSON(p tree.Part) chunkJSON {
	if p.ID.IsZero() {
		return chunkJSON{Length: p.Length}
	}
	return chunkJSON{p.ID.String(), p.Length}
}

type indexJSON struct {
	Supersedes []string   `json:"supersedes,omitempty"`
	Packs      []packJSON `json:"packs"`
}

type packJSON struct {
	ID       string        `json:"id"`
	Size     int64         `json:"size"`
	Segments []segmentJSON `json:"segments"`
}

type segmentJSON struct {
	Kind   string      `json:"kind"`
	Offset uint32      `json:"offset"`
	Length uint32      `json:"length"`
	Back   uint16      `json:"back,omitempty"` // how many segments before this one its dictionary stands
	Chunks []chunkJSON `json:"chunks"`
}

var segmentKinds = map[pack.Kind]string{pack.KindData: "data", pack.KindTree: "tree", pack.KindRefs: "refs"}

func newIndexJSON(f index.File) indexJSON {
	out := indexJSON{Packs: []packJSON{}}
	for _, id := range f.Supersedes {
		out.Supersedes = append(out.Supersedes, id.String())
	}
	for _, p := range f.Packs {
		row := packJSON{ID: p.ID.String(), Size: p.Size, Segments: []segmentJSON{}}
		for _, s := range p.Directory {
			segment := segmentJSON{segmentKinds[s.Kind], s.Offset, s.Length, s.Back, nil}
			for _, c := range s.Chunks {
				segment.Chunks = append(segment.Chunks, chunkJSON{c.ID.String(), int64(c.Length)})
			}
			row.Segments = append(row.Segments, segment)
		}
		out.Packs = append(out.Packs, row)
	}
	return out
}
