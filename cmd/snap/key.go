package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) keyCommand() *cobra.Command {
	return parent(&cobra.Command{
		Use:     "key",
		GroupID: "keep",
		Short:   "Manage the keys of the repository",
		Long: `Manage the keys of the repository. Each opens it on its own.

A key is a passphrase, an age identity or an SSH key. A key with the role full
may do everything. One with the role writer makes backups, lists, compares,
forgets and prunes, and cannot read the content of files.`,
		Example: "  snap key list\n  snap key add --recipient ~/.ssh/id_ed25519.pub",
	}, a.keyListCommand(), a.keyAddCommand(), a.keyRemoveCommand(), a.keyPasswdCommand())
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "list",
		Short:       "List the keys",
		Example:     "  snap key list\n  snap key list --json",
		Args:        noArgs,
		Annotations: safe("nothing was changed"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.keyList(c.Context(), r) })
		},
	}
}

type keyJSON struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"`
	Type      string    `json:"type"`
	Role      string    `json:"role"`
	Label     string    `json:"label,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Created   time.Time `json:"created"`
	Error     string    `json:"error,omitempty"`
}

func (a *app) keyList(ctx context.Context, r *repo.Repo) error {
	slots, err := r.Slots(ctx)
	if err != nil {
		return err
	}
	list := make([]keyJSON, 0, len(slots))
	for _, s := range slots {
		k := keyJSON{ID: s.ID, Current: s.Current, Type: s.Type, Role: string(s.Role), Label: s.Label, Recipient: s.Recipient, Created: s.Created}
		if s.Err != nil {
			k.Error = s.Err.Error()
		}
		list = append(list, k)
	}
	if a.global.json {
		return a.jsonLine(list)
	}
	table := term.NewTable("ID", "Type", "Role", "Created", "Label")
	for _, k := range list {
		table.Row(keyRow(k)...)
	}
	return table.Write(a.out)
}

func keyRow(k keyJSON) []string {
	id := k.ID[:min(8, len(k.ID))]
	if k.Current {
		id = "*" + id
	}
	if k.Error != "" {
		return []string{id, "", "", "", "unusable: " + k.Error}
	}
	label := k.Label
	if label == "" && len(k.Recipient) > 0 {
		label = k.Recipient[:min(40, len(k.Recipient))]
	}
	return []string{id, k.Type, k.Role, k.Created.Local().Format(time.DateTime), label}
}

// newKeyFlags say what a new key is.
type newKeyFlags struct {
	secret                 secretFlags
	recipient, role, label string
}

func (f *newKeyFlags) register(fs *pflag.FlagSet) {
	f.secret.register(fs, newPrefix, "")
	fs.StringVar(&f.recipient, "recipient", "", "public `key` (age1... or ssh-...) or a file that holds it")
	fs.StringVar(&f.label, "label", "", "`text` to tell the key by")
}

// recipient returns what a new key slot is made for.
func (a *app) newRecipient(ctx context.Context, f *newKeyFlags) (*repo.Recipient, error) {
	s, err := a.fromFlags(ctx, &f.secret)
	if err != nil {
		return nil, err
	}
	switch {
	case s != nil && f.recipient != "":
		return nil, usageError("give a new passphrase or --recipient, not both")
	case f.recipient != "":
		return parseRecipient(f.recipient)
	case s == nil:
		if s, err = a.ask("new passphrase: ", newPrefix, true); err != nil {
			return nil, err
		}
	}
	return recipientOf(s)
}

func (a *app) keyAddCommand() *cobra.Command {
	var f newKeyFlags
	c := &cobra.Command{
		Use:   "add",
		Short: "Add a key",
		Example: `  snap key add
  snap key add --new-password-file ~/second-passphrase --label safe
  snap key add --recipient ~/.ssh/id_ed25519.pub
  snap key add --recipient age1mrd... --role writer --label backup-server`,
		Args:        noArgs,
		Annotations: safe("the keys are as before"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.keyAdd(c.Context(), r, &f) })
		},
	}
	f.register(c.Flags())
	c.Flags().StringVar(&f.role, "role", "", "`role` of the key: full or writer (default: that of the key in use)")
	return c
}

func (a *app) keyAdd(ctx context.Context, r *repo.Repo, f *newKeyFlags) error {
	role := repo.Role(f.role)
	switch role {
	case "":
		role = r.Role()
	case repo.RoleFull, repo.RoleWriter:
	default:
		return usageError("--role: %q is not full or writer", f.role)
	}
	to, err := a.newRecipient(ctx, f)
	if err != nil {
		return err
	}
	id, err := r.AddSlot(ctx, to, role, f.label)
	if err != nil {
		return err
	}
	return a.keyChanged("added", id)
}

func (a *app) keyChanged(action, id string) error {
	if a.global.json {
		return a.jsonLine(struct {
			MessageType string `json:"message_type"`
			Action      string `json:"action"`
			ID          string `json:"id"`
		}{"key", action, id})
	}
	a.printf("%s key %s", action, id[:min(8, len(id))])
	return nil
}

func (a *app) keyRemoveCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "remove KEY",
		Short: "Remove a key",
		Long: `Remove a key, named by the beginning of its id.

Whoever had the key and a copy of the repository from before can still read that
copy.`,
		Example:     "  snap key remove 5f2c",
		Args:        between(1, 1, "one key"),
		Annotations: safe("the keys are as before"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.keyRemove(c.Context(), r, args[0], force) })
		},
	}
	c.Flags().BoolVar(&force, "force", false, "remove even the last key that can read the content of files")
	return c
}

func (a *app) keyRemove(ctx context.Context, r *repo.Repo, id string, force bool) error {
	slots, err := r.Slots(ctx)
	if err != nil {
		return err
	}
	named := 0
	for _, s := range slots {
		if id == "" || !strings.HasPrefix(s.ID, id) {
			continue
		}
		named++
		if s.Current && !force {
			return usageError("%q is the key in use", id).withHint("open the repository with another key, or add --force")
		}
	}
	if named != 1 {
		return usageError("%q begins the ids of %d keys, and not of one", id, named).withHint("list them with: snap key list")
	}
	if err := r.RemoveSlot(ctx, id, force); err != nil {
		return err
	}
	return a.keyChanged("removed", id)
}

func (a *app) keyPasswdCommand() *cobra.Command {
	var f newKeyFlags
	c := &cobra.Command{
		Use:   "passwd",
		Short: "Replace the key in use by a new one",
		Long: `Replace the key in use by a new one. The new key is added first, then the old one
is removed, so that at any time one of them opens the repository.`,
		Example: `  snap key passwd
  snap key passwd --new-password-file ~/new-passphrase`,
		Args:        noArgs,
		Annotations: safe("the key in use still opens the repository"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRepo(c.Context(), func(r *repo.Repo) error { return a.keyPasswd(c.Context(), r, &f) })
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) keyPasswd(ctx context.Context, r *repo.Repo, f *newKeyFlags) error {
	slots, err := r.Slots(ctx)
	if err != nil {
		return err
	}
	to, err := a.newRecipient(ctx, f)
	if err != nil {
		return err
	}
	id, err := r.AddSlot(ctx, to, r.Role(), f.label)
	if err != nil {
		return err
	}
	for _, s := range slots {
		if s.Current {
			if err := r.RemoveSlot(ctx, s.ID, false); err != nil {
				return fmt.Errorf("the new key %s is added, and the one in use is not removed: %w", id[:min(8, len(id))], err)
			}
		}
	}
	return a.keyChanged("changed to", id)
}
