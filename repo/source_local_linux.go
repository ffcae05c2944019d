package repo

import "github.com/snapkeep/snap/internal/source/local"

// LocalOptions say what a source of local files reads. Only Roots is required.
type LocalOptions = local.Options

// FromLocal returns a source that reads files and folders of this machine, with all
// their attributes.
func FromLocal(o LocalOptions) (Source, error) { return local.New(o) }
