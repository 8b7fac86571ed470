// Package statedir knows what is where below the state folder, and takes the locks
// in it. All of them are flock(2)s, which the kernel drops when their holder dies.
package statedir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/journal"
)

// Dir is the path of a state folder, absolute.
type Dir string

func (d Dir) path(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// Journals is the folder with the journals of all jobs.
func (d Dir) Journals() string { return d.path("journal") }

// Journal is the named job's journal.
func (d Dir) Journal(job string) string { return journal.Path(d.Journals(), job) }

// Jobs is the folder with the folders of all jobs.
func (d Dir) Jobs() string { return d.path("jobs") }

// Job is the named job's folder.
func (d Dir) Job(job string) string { return d.path("jobs", job) }

// Kept is the file of a volume that outlives its jobs: its lock is held by
// whoever is about to use or to remove the volume, and its time of modification
// says when a job last took it or was at its end.
func (d Dir) Kept(volume string) string { return d.path("kept", volume) }

// Pulled is the folder with a file for each image that a job pulled.
func (d Dir) Pulled() string { return d.path("pulled") }

// PulledImage is the file of an image, by the number in its ID: its lock is held by
// whoever is about to use or to remove the image, and its time of modification says
// when a job last took it.
func (d Dir) PulledImage(number string) string { return filepath.Join(d.Pulled(), number) }

// Aside is the folder for job folders that could not be removed.
func (d Dir) Aside() string { return d.path("aside") }

// GC is an empty folder: its lock is the gc's, its time of modification that of the
// last one.
func (d Dir) GC() string { return d.path("gc") }

// locks is the folder of the locks that all jobs share: each is an empty folder.
func (d Dir) locks() string { return d.path("locks") }

// use is an empty folder in the job's: whoever works on the job has its lock.
func (d Dir) use(job string) string { return filepath.Join(d.Job(job), "use") }

// Images is the folder of the images that all jobs share.
func (d Dir) Images() string { return d.path("images") }

// A lock needs no more than an open for reading, so no other user of this machine may
// open a file or a folder that is locked. Where containers need what is in a folder, it
// is passable for everybody and readable for nobody else.
const (
	private  fs.FileMode = 0o700
	passable fs.FileMode = 0o711
)

// folder makes a folder of that mode, or gives the mode to one that an older version
// or a narrower umask made otherwise.
func folder(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder: remove it", path)
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

// MakeJob makes the named job's folder, which a container's remapped root can pass
// through.
func (d Dir) MakeJob(job string) error {
	if err := d.make(passable, d.Jobs(), d.Job(job)); err != nil {
		return err
	}
	return d.make(private, d.use(job))
}

// imagesID begins the name of an empty folder in Images; the rest is the number.
const imagesID = "id-"

// ImagesID is a number by which an engine that serves several state folders knows whose
// shared images are this one's; empty where there is none. It is taken at random and
// stays with the folder: neither its path nor its device and inode tell it from
// another's for as long as the images last.
func (d Dir) ImagesID() string {
	all, _ := filepath.Glob(filepath.Join(d.Images(), imagesID+strings.Repeat("[0-9a-f]", 16)))
	if len(all) == 0 {
		return ""
	}
	return strings.TrimPrefix(filepath.Base(all[0]), imagesID)
}

// MakeImagesID makes that number. The images' lock is held.
func (d Dir) MakeImagesID() error {
	var number [8]byte
	_, _ = rand.Read(number[:]) // it never fails (crypto/rand)
	return os.Mkdir(filepath.Join(d.Images(), imagesID+hex.EncodeToString(number[:])), private)
}

// ID tells this state folder from every other on a running machine, whatever
// paths lead to it: two containers may have different folders at one path. It is
// empty where there is none.
func (d Dir) ID() string {
	var s unix.Stat_t
	if unix.Stat(string(d), &s) != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", s.Dev, s.Ino)
}

// Holds tells whether a path, in its shortest form, is below the state folder.
func (d Dir) Holds(path string) bool {
	inside, err := filepath.Rel(string(d), path)
	return err == nil && filepath.Clean(path) == path && inside != "." && filepath.IsLocal(inside)
}
