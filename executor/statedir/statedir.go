// Package statedir knows the layout of the state folder, and its locks. All locks are
// flock(2) locks, which the kernel releases when the process dies.
package statedir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/journal"
)

// Dir is the absolute path of a state folder.
type Dir string

func (d Dir) path(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// Journals is the folder of all journals.
func (d Dir) Journals() string { return d.path("journal") }

// Journal is the path of the named job's journal.
func (d Dir) Journal(job string) string { return journal.Path(d.Journals(), job) }

// Jobs is the folder of all job folders.
func (d Dir) Jobs() string { return d.path("jobs") }

// Job is the folder of the named job.
func (d Dir) Job(job string) string { return d.path("jobs", job) }

// HasJob reports whether the named job has a folder.
func (d Dir) HasJob(name string) bool {
	_, err := os.Lstat(d.Job(name))
	return err == nil
}

// Kept is the file of a kept volume. A process locks it before it uses or removes the
// volume. Its modification time is the volume's last use: the start or end of a job.
func (d Dir) Kept(volume string) string { return d.path("kept", volume) }

// Pulled is the folder with a file for each image that a job pulled.
func (d Dir) Pulled() string { return d.path("pulled") }

// PulledImage is the file of an image, named by the hash in its ID. A process locks it
// before it uses or removes the image. Its modification time is the last use by a job.
func (d Dir) PulledImage(number string) string { return filepath.Join(d.Pulled(), number) }

// Aside is the quarantine: job folders that cannot be removed yet.
func (d Dir) Aside() string { return d.path("aside") }

// GC is an empty folder. gc locks it, and its modification time is the time of the last gc.
func (d Dir) GC() string { return d.path("gc") }

// locks is the folder of the locks that all jobs share. Each lock is an empty folder.
func (d Dir) locks() string { return d.path("locks") }

// use is an empty folder in the job's folder. A process that works on the job locks it.
func (d Dir) use(job string) string { return filepath.Join(d.Job(job), "use") }

// Images is the folder of the shared images.
func (d Dir) Images() string { return d.path("images") }

// Metrics is the folder of what package accounting counts. Whoever changes or reads the totals locks it.
func (d Dir) Metrics() string { return d.path("metrics") }

// MakeMetrics makes that folder, and these folders in it.
func (d Dir) MakeMetrics(names ...string) error {
	paths := []string{d.Metrics()}
	for _, name := range names {
		paths = append(paths, filepath.Join(d.Metrics(), name))
	}
	return d.make(private, paths...)
}

// Volumes is the folder of storage volumes, unless the configuration names another.
func (d Dir) Volumes() string { return d.path("volumes") }

// Installed is the list of the files that the command install wrote.
func (d Dir) Installed() string { return d.path("install.json") }

// Recorded reports whether the state folder has a record of a resource, or may have: of a job, or of what outlives
// jobs.
func (d Dir) Recorded() bool {
	for _, folder := range []string{d.Journals(), d.Jobs(), d.path("kept"), d.Pulled(), d.Aside(), d.Images(), filepath.Join(d.Volumes(), "kept")} {
		entries, err := os.ReadDir(folder)
		if len(entries) > 0 || err != nil && !os.IsNotExist(err) {
			return true
		}
	}
	return false
}

// Remove removes the state folder with all that the executor writes there. It returns the names of what
// else is in it; the folder then stays. The caller has made sure that no job needs it.
func (d Dir) Remove() (others []string, err error) {
	ours := []string{d.Journals(), d.Jobs(), d.path("kept"), d.Pulled(), d.Aside(), d.GC(), d.locks(), d.Images(), d.Volumes(), d.Installed(), d.Metrics()}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := d.path(e.Name())
		if !slices.Contains(ours, path) {
			others = append(others, e.Name())
		} else if err := os.RemoveAll(path); err != nil {
			return others, err
		}
	}
	if len(others) > 0 {
		return others, nil
	}
	return nil, os.Remove(string(d))
}

// An open for reading is enough to lock a file. So other users of this machine must not be
// able to open a file or a folder that is locked. If containers need files in a folder,
// others may pass through it but not read it.
const (
	private  fs.FileMode = 0o700
	passable fs.FileMode = 0o711
)

// Folders are the folders that jobs share, with their modes.
func (d Dir) Folders() map[string]fs.FileMode {
	all := map[string]fs.FileMode{d.Jobs(): passable, d.Images(): passable}
	for _, path := range []string{d.Journals(), d.path("kept"), d.Pulled(), d.Aside(), d.GC(), d.locks()} {
		all[path] = private
	}
	return all
}

// folder makes a folder with this mode. It also changes the mode of a folder that an older
// version or a narrower umask made.
func folder(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder: remove it", path)
	}
	if info.Mode().Perm() == mode {
		return nil
	}
	return os.Chmod(path, mode)
}

// make makes folders below d, and d itself.
func (d Dir) make(mode fs.FileMode, paths ...string) error {
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return err
	}
	for _, path := range paths {
		if err := folder(path, mode); err != nil {
			return err
		}
	}
	return nil
}

// MakeJob makes the named job's folder. The remapped root of a container can pass through
// it.
func (d Dir) MakeJob(job string) error {
	if err := d.make(passable, d.Jobs(), d.Job(job)); err != nil {
		return err
	}
	return d.make(private, d.use(job))
}

// imagesID is the prefix of the name of an empty folder in Images; the ID follows.
const imagesID = "id-"

// ImagesID identifies the owner of shared images on an engine that serves several state
// folders; empty if there is none. It is a random number that stays with the folder. Its
// path, device and inode would not be unique for as long as the images exist.
func (d Dir) ImagesID() string {
	all, _ := filepath.Glob(filepath.Join(d.Images(), imagesID+strings.Repeat("[0-9a-f]", 16)))
	if len(all) == 0 {
		return ""
	}
	return strings.TrimPrefix(filepath.Base(all[0]), imagesID)
}

// MakeImagesID makes that number. The caller holds the lock of the images.
func (d Dir) MakeImagesID() error {
	var number [8]byte
	_, _ = rand.Read(number[:]) // crypto/rand.Read never fails
	return os.Mkdir(filepath.Join(d.Images(), imagesID+hex.EncodeToString(number[:])), private)
}

// ID distinguishes this state folder from every other on a running machine, independent of
// its path: two containers may have different folders at one path. It is empty if the folder
// does not exist.
func (d Dir) ID() string {
	var s unix.Stat_t
	if unix.Stat(string(d), &s) != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", s.Dev, s.Ino)
}

// Holds reports whether a cleaned path is below the state folder.
func (d Dir) Holds(path string) bool {
	inside, err := filepath.Rel(string(d), path)
	return err == nil && filepath.Clean(path) == path && inside != "." && filepath.IsLocal(inside)
}
