package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/moby/sys/user"

	"gitlab-sysbox-executor/executor/storage"
)

// CacheMounts are folders on a volume of the project, one for each user. Buildah and Podman
// keep the caches of RUN --mount=type=cache there.
type CacheMounts struct {
	Folder string `json:"folder"` // mount point of the volume
	TMPDIR string `json:"tmpdir"` // folder in which the tools look for caches
}

// The IDs of regular users (login.defs(5), UID_MIN and UID_MAX), and the largest number of
// users of an image that get a folder.
const (
	leastUID  = 1000
	mostUID   = 60000
	mostUsers = 100
)

// link creates folders and links to them for root, a and the users of the image, because a
// script may switch to any of them. An existing file in TMPDIR with the name of a link is
// kept. The links belong to root, as TMPDIR does: otherwise the kernel does not let other
// users follow them in a sticky folder (proc_sys_fs(5), protected_symlinks). link may be
// called again.
func (c *CacheMounts) link(a account) error {
	if c == nil {
		return nil
	}
	users := map[int]int{0: 0, a.UID: a.GID}
	// An image without this file has no other users.
	others, _ := user.ParsePasswdFileFilter("/etc/passwd", func(u user.User) bool { return u.Uid >= leastUID && u.Uid <= mostUID })
	for _, u := range others[:min(len(others), mostUsers)] {
		if _, known := users[u.Uid]; !known {
			users[u.Uid] = u.Gid
		}
	}
	return c.linkEach(users, a.UID)
}

// linkEach does so for users with their groups. The user first also gets the folder that old
// tools use for every user.
func (c *CacheMounts) linkEach(users map[int]int, first int) error {
	for uid, gid := range users {
		own := filepath.Join(c.Folder, strconv.Itoa(uid))
		if err := folderOf(own, uid, gid); err != nil {
			return err
		}
		links := []string{storage.CacheFolder + "-" + strconv.Itoa(uid)}
		if uid == first {
			links = append(links, storage.CacheFolder) // Buildah 1.28 has one folder for all users
		}
		for _, name := range links {
			if err := os.Symlink(own, filepath.Join(c.TMPDIR, name)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// folderOf creates a user's folder and replaces a file of that name.
func folderOf(path string, uid, gid int) error {
	if info, err := os.Lstat(path); err == nil && !info.IsDir() {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Lchown(path, uid, gid)
}
