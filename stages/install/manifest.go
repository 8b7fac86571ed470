package install

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// entry is a file that install wrote.
type entry struct {
	Path   string   `json:"path"`
	SHA256 string   `json:"sha256"`           // of what install wrote
	Backup string   `json:"backup,omitempty"` // the file that was there before
	Made   []string `json:"made,omitempty"`   // folders, from the outermost
}

// manifest is the list of all files that install wrote. It is written before each of them, so that
// uninstall finds them after a crash.
type manifest struct {
	Files []entry `json:"files"`
	path  string
}

func readManifest(path string) (*manifest, error) {
	m := &manifest{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	} else if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s, the list of installed files, is damaged (%w): remove it, and the files of an installation by hand", path, err)
	}
	return m, nil
}

// save writes the list, or removes it if it is empty.
func (m *manifest) save() error {
	if len(m.Files) == 0 {
		if err := os.Remove(m.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(m.path, append(text, '\n'), 0o600)
}

func (m *manifest) index(path string) int {
	return slices.IndexFunc(m.Files, func(e entry) bool { return e.Path == path })
}

// put adds an entry or replaces the one of the same path.
func (m *manifest) put(e entry) error {
	if n := m.index(e.Path); n >= 0 {
		m.Files[n] = e
	} else {
		m.Files = append(m.Files, e)
	}
	return m.save()
}

func (m *manifest) drop(path string) error {
	if n := m.index(path); n >= 0 {
		m.Files = slices.Delete(m.Files, n, n+1)
	}
	return m.save()
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// hashOf returns the hash of a file; empty if there is none.
func hashOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return hash(text), nil
}

// backUp copies a file beside itself, with its mode and owner.
func backUp(path string, now time.Time) (string, error) {
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return "", err
	}
	backup := path + "." + now.UTC().Format("20060102T150405.000Z") + ".bak"
	to, err := os.OpenFile(backup, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	err = errors.Join(err, sameOwner(to, info), to.Sync(), to.Close())
	if err != nil {
		os.Remove(backup)
		return "", err
	}
	return backup, nil
}

// sameOwner gives a file the mode and owner of another.
func sameOwner(f *os.File, of fs.FileInfo) error {
	if owner, ok := of.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(of.Mode().Perm())
}

// write replaces a file at once. It keeps the mode and owner of the one that was there.
func write(path string, text []byte, mode fs.FileMode) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(mode), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if info, err := os.Stat(path); err == nil {
		if err := sameOwner(f.File, info); err != nil {
			return err
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// makeFolders makes a folder and those around it, and returns the ones that were missing.
func makeFolders(path string) ([]string, error) {
	var missing []string
	for at := path; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append(missing, at)
	}
	slices.Reverse(missing)
	return missing, os.MkdirAll(path, 0o755)
}
