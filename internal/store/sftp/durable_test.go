package sftp

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/sshdtest"
)

// TestSyncsFolders checks that OpenSSH syncs folders on request, on which it
// rests that names outlive a power cut of the server.
func TestSyncsFolders(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, sshdtest.Options{})
	s, err := Create(t.Context(), Location{Address: server.Address(), Path: filepath.Join(t.TempDir(), "store")}, Options{SSH: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), "a/b/f", strings.NewReader("data"), 4); err != nil {
		t.Fatal(err)
	}
	if !s.syncsDirs.Load() || s.lacksDirs.Load() {
		t.Errorf("folders were synced: %v, refused: %v", s.syncsDirs.Load(), s.lacksDirs.Load())
	}
	for _, folder := range []string{"a", "a/b"} {
		if !s.isDurable(s.path(folder)) {
			t.Errorf("the name of the folder %s was not synced", folder)
		}
	}
}
