package walk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// takenAway is the prefix of the names that RemovePath gives to what it removes.
const takenAway = ".gitlab-sysbox-executor-removed-"

// RemovePath removes a path below a folder with everything in it, in bounded memory. It does
// not follow a symbolic link in the path: it removes the link, or any other file in place of
// a folder, so that the path can be created anew. A missing path is not an error. If ctx
// ends, the rest has another name and the next call removes it.
func RemovePath(ctx context.Context, folder, below string) error {
	if !filepath.IsLocal(below) || filepath.Clean(below) == "." {
		return fmt.Errorf("%q is not a path below a folder", below)
	}
	top, err := Open(folder)
	if err != nil {
		return err
	}
	defer top.Close()
	parts := strings.Split(filepath.Clean(below), string(filepath.Separator))
	dir, last := top, parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		var s unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), part, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return failed("stat", part, err)
		}
		if s.Mode&unix.S_IFMT != unix.S_IFDIR {
			last = part
			break
		}
		next, err := OpenIn(dir, part)
		if gone(err) {
			return nil
		} else if err != nil {
			return err
		}
		defer next.Close()
		dir = next
	}
	if err := Aside(dir, last, top, takenAway); err != nil {
		return err
	}
	_, err = Remove(ctx, top, takenAway)
	return err
}
