package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// give makes a the owner of the folder at path and of all that is in it. Links
// are not followed; what goes away meanwhile is left out. A file that is a's
// already is left alone, which also spares it the loss of its setuid bit. A
// folder in which its owner could not delete is made one where it can: Go's
// module cache has such folders, and git clean would fail on them.
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
			if err == nil && entry.IsDir() && info.Mode()&0o700 != 0o700 {
				err = os.Chmod(path, info.Mode()|0o700)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
