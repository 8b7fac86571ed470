package kept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/walk"
)

// Disks are the disk images of storage volumes that outlive their jobs. A disk is a folder with the image
// and a description. One rename moves it between three folders:
//
//   - kept: it is whole and waits for a job;
//   - taken: one job has it. The folder has the job's name, so that a cleanup finds it;
//   - gone: it is being removed.
//
// A job that takes a disk removes the description before its first process starts. Its last stage writes an open
// description, and cleanup closes that when all processes have ended in order. So a disk without a closed description
// is not whole, whatever was killed in between. The methods are safe for concurrent use, also by several processes.
type Disks struct {
	State  statedir.Dir
	Folder string // on the host, for file system images; absolute
}

// The names of a disk's files.
const (
	diskImage = "image"
	diskFacts = "disk.json"
)

// facts is the description of a disk.
type facts struct {
	job.Disk
	// Boot identifies the boot of this machine during which the image was written.
	Boot string `json:"boot"`
	// Open is true from the job's last stage until its container has ended in order.
	Open bool `json:"open,omitempty"`
	// Flushed is true if the image was flushed to the host's disk since its last use.
	Flushed bool `json:"flushed"`
}

func (d Disks) kept(name string) string { return filepath.Join(d.Folder, "kept", name) }

// Taken is the folder of the disk that the named job has.
func (d Disks) Taken(name string) string { return filepath.Join(d.Folder, "taken", name) }

func readFacts(folder string) (f facts, err error) {
	err = readNotes(filepath.Join(folder, diskFacts), &f)
	return f, err
}

// write replaces the description of a disk, and flushes it.
func (f facts) write(folder string) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(folder, diskFacts), append(text, '\n'), 0o600)
}

// diskName is the name of the disk of a job's slot, and base the beginning of the names of all disks of the
// project. It ends in -protected only for protected jobs.
func diskName(d job.Disk) (name, base string) {
	i := job.Identity{Server: d.Server, ProjectID: d.Project}
	base, _ = volumeFor(i, Storage, false, nil)
	name, _ = volumeFor(i, Storage, d.Protected, slotLabels(d.Runner, d.Slot))
	return name, base + "-"
}

// unfit is the reason why a job cannot use a kept disk; empty if it can.
func (f facts) unfit(want job.Disk, boot string) string {
	switch {
	case f.Server != want.Server || f.Project != want.Project || f.Protected != want.Protected:
		return "it belongs to other jobs"
	case f.Boot != boot && !f.Flushed:
		return "this machine was restarted before the disk was flushed"
	case f.Driver != want.Driver:
		return fmt.Sprintf("it was made with the storage driver %s, and this job uses %s", f.Driver, want.Driver)
	case f.Limit > want.Limit:
		return fmt.Sprintf("it has %s, more than this job may use (%s)", config.Size(f.Limit), config.Size(want.Limit))
	case f.Generation != want.Generation:
		return "its images are based on shared images that were replaced"
	}
	return ""
}

// Take gives a job a kept disk of its project and protection: that of its slot, or else the one that was used
// last. Without one, it makes the folder of a new disk. The disk in the result is the job's; reason says why a
// kept disk was dropped. The caller has recorded [Disks.Taken] in the job's journal.
func (d Disks) Take(ctx context.Context, name string, want job.Disk) (got job.Disk, reason string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("kept storage volume: %w", err)
		}
	}()
	unlock, err := d.State.LockDisks(ctx)
	if err != nil {
		return got, "", err
	}
	defer unlock()
	taken := d.Taken(name)
	if err := os.MkdirAll(filepath.Dir(taken), 0o700); err != nil {
		return got, "", err
	}
	if err := d.Drop(name); err != nil { // an earlier attempt's, whose device was held
		return got, "", err
	}
	candidates, err := d.candidates(want)
	if err != nil {
		return got, "", err
	}
	for _, c := range candidates {
		if err := os.Rename(d.kept(c), taken); errors.Is(err, fs.ErrNotExist) {
			continue // a process with another state folder has taken it
		} else if err != nil {
			return got, "", err
		}
		f, err := readFacts(taken)
		unfit := f.unfit(want, owner.Boot())
		if err != nil {
			unfit = "its description cannot be read"
		}
		if unfit != "" {
			reason = unfit
			if err := d.remove(taken); err != nil {
				return got, "", err
			}
			continue
		}
		// From here on the image changes: after a crash of the machine it is not whole.
		f.Boot, f.Flushed = owner.Boot(), false
		if err := errors.Join(f.write(taken), syncFolder(filepath.Dir(taken))); err != nil {
			return got, "", err
		}
		got = f.Disk
		got.Runner, got.Slot, got.Limit = want.Runner, want.Slot, want.Limit
		return got, "", nil
	}
	return want, reason, os.Mkdir(taken, 0o700)
}

// candidates lists the kept disks for a job: that of its slot first, then the last used ones.
func (d Disks) candidates(want job.Disk) ([]string, error) {
	own, base := diskName(want)
	entries, err := os.ReadDir(d.kept(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	uses := map[string]time.Time{}
	var all []string
	for _, e := range entries {
		n := e.Name()
		if n != own && (!strings.HasPrefix(n, base) || strings.HasSuffix(n, "-protected") != want.Protected) {
			continue
		}
		f, _ := readFacts(d.kept(n)) // Take reports it
		uses[n] = f.LastUse
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b string) int {
		switch {
		case a == own:
			return -1
		case b == own:
			return 1
		}
		return uses[b].Compare(uses[a])
	})
	return all, nil
}

// Image is the path of the image of the disk that the named job has.
func (d Disks) Image(name string) string { return filepath.Join(d.Taken(name), diskImage) }

// Renew replaces the disk that the named job has by a new one.
func (d Disks) Renew(name string) error {
	if err := d.Drop(name); err != nil {
		return err
	}
	return os.Mkdir(d.Taken(name), 0o700)
}

// Begin records that the named job begins to write to its disk.
func (d Disks) Begin(name string) error {
	err := os.Remove(filepath.Join(d.Taken(name), diskFacts))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // new, or a process of the job was started before
	}
	return err
}

// Finish records that the disk of the named job is whole if the job's container ends in order.
func (d Disks) Finish(name string, disk job.Disk) error {
	disk.LastUse = time.Now().UTC()
	return facts{Disk: disk, Boot: owner.Boot(), Open: true}.write(d.Taken(name))
}

// Close records that the container of the named job has ended in order. Without a description it does nothing.
func (d Disks) Close(name string) error {
	f, err := readFacts(d.Taken(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !f.Open {
		return nil
	} else if err != nil {
		return err
	}
	f.Open = false
	return f.write(d.Taken(name))
}

// Whole reports whether the disk of the named job is whole. Open means that it is not, and only because nobody has
// seen its container end in order.
func (d Disks) Whole(name string) (whole, open bool) {
	f, err := readFacts(d.Taken(name))
	described := err == nil && f.Boot == owner.Boot()
	return described && !f.Open, described && f.Open
}

// Return keeps the disk of the named job, which is whole, for the next one. Nothing may be mounted from it.
func (d Disks) Return(ctx context.Context, name string) error {
	taken := d.Taken(name)
	f, err := readFacts(taken)
	if err != nil {
		return err
	}
	unlock, err := d.State.LockDisks(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	own, _ := diskName(f.Disk)
	if err := os.MkdirAll(d.kept(""), 0o700); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, taken, unix.AT_FDCWD, d.kept(own), unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) { // a job of another Runner with this ID: the newer disk stays
		if err := d.remove(d.kept(own)); err != nil {
			return err
		}
		err = os.Rename(taken, d.kept(own))
	}
	return err
}

// Drop removes the disk of the named job.
func (d Disks) Drop(name string) error { return d.remove(d.Taken(name)) }

// remove removes the folder of a disk. It is out of the way at once, even if the process is killed.
func (d Disks) remove(folder string) error {
	if _, err := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	gone := filepath.Join(d.Folder, "gone")
	if err := os.MkdirAll(gone, 0o700); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(gone, "disk-")
	if err != nil {
		return err
	}
	if err := os.Rename(folder, filepath.Join(aside, "disk")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(aside))
	}
	return os.RemoveAll(aside)
}

// list lists the kept disks as volumes.
func (d Disks) list() ([]Volume, error) {
	if d.Folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(d.kept(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kept storage volumes: %w", err)
	}
	var all []Volume
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(d.kept(e.Name()), diskImage))
		if err != nil {
			continue // just taken or removed
		}
		f, _ := readFacts(d.kept(e.Name()))
		v := Volume{Name: e.Name(), Kind: Storage, LastUse: statedir.Past(f.LastUse), Path: d.kept(e.Name()), Images: f.Images, Project: f.Project, Protected: f.Protected}
		if v.LastUse.IsZero() { // a description that cannot be read
			v.LastUse = info.ModTime()
		}
		v.Size = Size{Size: walk.Size{Bytes: info.Sys().(*syscall.Stat_t).Blocks * 512}, Known: true}
		all = append(all, v)
	}
	return all, nil
}

// drop removes a kept disk, unless a job has taken it or used it since it was listed.
func (d Disks) drop(ctx context.Context, v Volume) (bool, error) {
	unlock, err := d.State.LockDisks(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	f, _ := readFacts(v.Path) // without a readable description no job can use it
	if _, err := os.Lstat(v.Path); errors.Is(err, fs.ErrNotExist) || statedir.Past(f.LastUse).After(v.LastUse) {
		return false, nil
	}
	return true, d.remove(v.Path)
}

// removeTime is longer than the removal of a disk takes.
const removeTime = 10 * time.Minute

// tidy flushes kept disks to the host's disk, so that they outlast a crash of the machine, and finishes removals
// that were killed.
func (d Disks) tidy(ctx context.Context) error {
	if d.Folder == "" {
		return nil
	}
	gone, err := os.ReadDir(filepath.Join(d.Folder, "gone"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range gone {
		if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < removeTime {
			continue // its removal may be in progress
		}
		if err := os.RemoveAll(filepath.Join(d.Folder, "gone", e.Name())); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(d.kept(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.flush(ctx, d.kept(e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("kept storage volume %s: %w", e.Name(), err)
		}
	}
	return nil
}

// flush flushes the image of a kept disk. A job may take the disk meanwhile.
func (d Disks) flush(ctx context.Context, folder string) error {
	before, err := readFacts(folder)
	if err != nil || before.Flushed || before.Boot != owner.Boot() {
		return nil // Take drops a disk without a description
	}
	image, err := os.Open(filepath.Join(folder, diskImage))
	if err != nil {
		return err
	}
	err = errors.Join(image.Sync(), image.Close())
	if err != nil {
		return err
	}
	unlock, err := d.State.LockDisks(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := readFacts(folder)
	if err != nil || !now.LastUse.Equal(before.LastUse) {
		return err
	}
	now.Flushed = true
	return now.write(folder)
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
