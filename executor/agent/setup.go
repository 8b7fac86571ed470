package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// apply makes what s asks for. It may be applied again: what is there is kept.
func (s Setup) apply() (account, error) {
	a, err := lookup(s.User)
	if err != nil {
		return a, err
	}
	for _, f := range s.Folders {
		if err := f.make(a); err != nil {
			return a, fmt.Errorf("folder %s: %w", f.Path, err)
		}
	}
	return a, nil
}

func (f Folder) make(a account) error {
	// Parents that do not exist yet are passable for everyone, whatever the umask.
	var missing []string
	for dir := filepath.Dir(f.Path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	if err := os.MkdirAll(f.Path, 0o755); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	mode := fs.FileMode(f.Mode) & fs.ModePerm
	if f.Mode&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	if err := os.Chmod(f.Path, mode); err != nil {
		return err
	}
	if f.Owned {
		return os.Chown(f.Path, a.UID, a.GID)
	}
	return nil
}

// give makes a the owner of the folder at path and of all that is in it. Links
// are not followed; what goes away meanwhile is left out. A file that is a's
// already is left alone, which also spares it the loss of its setuid bit.
func give(path string, a account) error {
	return filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if err == nil {
			s := info.Sys().(*syscall.Stat_t)
			if int(s.Uid) != a.UID || int(s.Gid) != a.GID {
				err = os.Lchown(path, a.UID, a.GID)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
