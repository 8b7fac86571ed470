package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// apply creates what s lists. It may be called again: it keeps what exists.
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
	if err := s.CacheMounts.link(a); err != nil {
		return a, fmt.Errorf("kept cache mounts: %w", err)
	}
	return a, nil
}

func (f Folder) make(a account) error {
	if !f.ByUser {
		return f.makeHere(a)
	}
	return a.withRights(func() error {
		if info, err := os.Stat(f.Path); err == nil && info.IsDir() {
			return nil
		}
		return f.makeHere(a)
	})
}

// makeHere creates the folder with the permissions of the calling thread.
func (f Folder) makeHere(a account) error {
	// New parents can be entered by every user, whatever the umask. They belong to the owner
	// of the folder in which they are created: git may have to create the project's folder next
	// to a job's TMPDIR.
	var missing []string
	uid, gid := -1, -1
	for dir := filepath.Dir(f.Path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, dir)
			continue
		}
		if err == nil && !f.ByUser {
			s := info.Sys().(*syscall.Stat_t)
			uid, gid = int(s.Uid), int(s.Gid)
		}
		break
	}
	if err := os.MkdirAll(f.Path, 0o755); err != nil {
		return err
	}
	for _, dir := range missing {
		if err := errors.Join(os.Chown(dir, uid, gid), os.Chmod(dir, 0o755)); err != nil {
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
