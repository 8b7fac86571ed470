package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// Only what is empty is covered: an image's own files there stay visible.
func TestVacant(t *testing.T) {
	root := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"missing": func(string) error { return nil },
		"empty":   func(path string) error { return os.Mkdir(path, 0o755) },
		"filled":  func(path string) error { return os.MkdirAll(filepath.Join(path, "image"), 0o755) },
		"file":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"link":    func(path string) error { return os.Symlink(root, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(root, name)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			free, err := vacant(path)
			if want := name == "missing" || name == "empty"; err != nil || free != want {
				t.Errorf("%v %v, want %v", free, err, want)
			}
		})
	}
}
