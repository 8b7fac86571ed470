package walk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// takenAway begins the names that RemovePath gives what it removes.
const takenAway = ".gitlab-sysbox-executor-removed-"

// RemovePath removes what is at a path below a folder, with all that is in it, in
// bounded memory. A symbolic link on the way is not followed: like anything else there
// that is no folder, it is removed itself, so that the path can then only be made anew.
// What is not there is no error. What is left when ctx ends has another name and is
// removed by the next call.
func RemovePath(ctx context.Context, folder, below string) error {
	if !filepath.IsLocal(below) || filepath.Clean(below) == "." {
		return fmt.Errorf("%q is no path below a folder", below)
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
