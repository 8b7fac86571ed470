package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// Only what is empty is covered: an image's own files there stay visible.
func TestVacant(t *testing.T) {
	root := t.TempDir()
	for name, tc := range map[string]struct {
		make func(path string) error
		want bool
	}{
		"missing": {func(string) error { return nil }, true},
		"empty":   {func(path string) error { return os.Mkdir(path, 0o755) }, true},
		"filled":  {func(path string) error { return os.MkdirAll(filepath.Join(path, "image"), 0o755) }, false},
		"file":    {func(path string) error { return os.WriteFile(path, nil, 0o600) }, false},
		"link":    {func(path string) error { return os.Symlink(root, path) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(root, name)
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			free, err := vacant(path)
			if err != nil || free != tc.want {
				t.Errorf("%v %v, want %v", free, err, tc.want)
			}
		})
	}
}
