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

// CacheMounts are folders of a volume of the project's, one for each user, in
// which Buildah and Podman shall keep what RUN --mount=type=cache asks for.
type CacheMounts struct {
	Folder string `json:"folder"` // where the volume is mounted
	TMPDIR string `json:"tmpdir"` // where the tools look
}

// The numbers of users that people make (login.defs(5), UID_MIN and UID_MAX), and
// of how many of an image's caches are kept.
const (
	leastUID  = 1000
	mostUID   = 60000
	mostUsers = 100
)

// link makes folders and links to them for root, a and the users of the image, to
// whom a script may turn. What is in TMPDIR by a link's name stays. The links are
// root's, as TMPDIR is: else the kernel does not let others follow them in a folder
// like that (proc_sys_fs(5), protected_symlinks). It may be called again.
func (c *CacheMounts) link(a account) error {
	if c == nil {
		return nil
	}
	users := map[int]int{0: 0, a.UID: a.GID}
	// An image without such a file has no other users.
	others, _ := user.ParsePasswdFileFilter("/etc/passwd", func(u user.User) bool { return u.Uid >= leastUID && u.Uid <= mostUID })
	for _, u := range others[:min(len(others), mostUsers)] {
		if _, known := users[u.Uid]; !known {
			users[u.Uid] = u.Gid
		}
	}
	return c.linkEach(users, a.UID)
}

// linkEach does so for users with their groups, of whom first has the folder that
// old tools do not tell by user.
func (c *CacheMounts) linkEach(users map[int]int, first int) error {
	for uid, gid := range users {
		own := filepath.Join(c.Folder, strconv.Itoa(uid))
		if err := folderOf(own, uid, gid); err != nil {
			return err
		}
		links := []string{storage.CacheFolder + "-" + strconv.Itoa(uid)}
		if uid == first {
			links = append(links, storage.CacheFolder) // Buildah 1.28 knows one for all
		}
		for _, name := range links {
			if err := os.Symlink(own, filepath.Join(c.TMPDIR, name)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// folderOf makes a folder of a user's, in place of what is none.
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
