package storage

import (
	"fmt"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/format"
)

// Pool is where volumes get their blocks from. Sizes are bytes.
type Pool struct {
	ID   string // the same for all volumes that share it
	Name string // for a message
	Free int64
	Size int64 // free or not
	// FreeInodes of Inodes can become files; both are 0 where a disk has no such limit.
	FreeInodes, Inodes int64
}

// DiskPool is the file system that folder is on.
func DiskPool(folder string) (Pool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return Pool{}, fmt.Errorf("free space in %s: %w", folder, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return Pool{}, fmt.Errorf("free space in %s: %w", folder, err)
	}
	return Pool{
		ID: fmt.Sprintf("disk %d", st.Dev), Name: folder,
		Free: int64(s.Bavail) * s.Frsize, Size: int64(s.Blocks) * s.Frsize,
		FreeInodes: int64(s.Ffree), Inodes: int64(s.Files),
	}, nil
}

// Claim is what a job may still take from a pool.
type Claim struct {
	Pool  string `json:"pool"`
	Limit int64  `json:"limit"` // bytes
	// Mountpoint is the volume's on the host, where its use can be seen.
	Mountpoint string `json:"mountpoint,omitempty"`
	// Used is what was said in the job's container, for a volume that has no file
	// system of its own. Admission does not go by it: the container may lie.
	Used int64 `json:"used,omitempty"`
	// Image is the file behind the volume.
	Image FileID `json:"image"`
}

// Open is how much of the claim is not yet used, in bytes. What cannot be seen from
// here counts as not used.
func (c Claim) Open() int64 {
	used, _ := usedBelow(c.Mountpoint)
	return max(0, max(0, c.Limit)-max(0, used))
}

// Now is how much of the claim is used, in bytes: as it is seen, or as it was said
// last.
func (c Claim) Now() int64 {
	if used, ok := usedBelow(c.Mountpoint); ok {
		return used
	}
	return c.Used
}

// usedBelow is how much is used on the file system that is mounted at path; false
// when none is.
func usedBelow(path string) (int64, bool) {
	var at, above unix.Stat_t
	if path == "" || unix.Stat(path, &at) != nil || unix.Stat(path+"/..", &above) != nil || at.Dev == above.Dev {
		return 0, false
	}
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return 0, false
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize, true
}

// leastInodes is the share of a disk's inodes that stays free: a job that makes a great
// many small files fills a disk that way.
const leastInodes = 0.05

// Low tells whether less than minFree bytes are free, or hardly an inode.
func (p Pool) Low(minFree int64) bool { return p.Free < minFree || p.fewInodes() }

func (p Pool) fewInodes() bool { return float64(p.FreeInodes) < float64(p.Inodes)*leastInodes }

// Admission is what a new job's claim has to fit into. Sizes are bytes.
type Admission struct {
	Pool    Pool
	MinFree int64 // stays free, come what may
	// Overcommit divides what sparse volumes may grow to: 1 counts them in full.
	Overcommit float64
	Running    []Claim
}

// NoRoom is the refusal of a claim.
type NoRoom struct {
	Pool Pool
	text string
}

// Error holds the figures.
func (e *NoRoom) Error() string { return e.text }

// Admit refuses a claim of the given size for which there may be no room, with a
// *NoRoom. What is to be stored is for its message.
func (a Admission) Admit(what string, size int64) error {
	// Of floating point: sums of what somebody wrote down do not overflow, and up to
	// 2^53 bytes nothing is lost.
	open, jobs := 0.0, 0
	for _, c := range a.Running {
		if c.Pool == a.Pool.ID {
			open += float64(c.Open())
			jobs++
		}
	}
	promised, wanted := open/a.Overcommit, float64(size)/a.Overcommit
	if a.Pool.fewInodes() {
		return &NoRoom{a.Pool, fmt.Sprintf("no room for %s: %d of %d inodes are free in %s, less than %g%%; remove small files there",
			what, a.Pool.FreeInodes, a.Pool.Inodes, a.Pool.Name, leastInodes*100)}
	}
	if float64(a.Pool.Free)-promised-wanted >= float64(a.MinFree) {
		return nil
	}
	text := fmt.Sprintf("no room for %s: %s free in %s, less %s that %d running jobs may still take", what, format.Bytes(a.Pool.Free), a.Pool.Name, format.Bytes(promised), jobs)
	advice := "wait for other jobs, make room, or lower storage.min_free"
	if size > 0 {
		text += fmt.Sprintf(" and %s for this one (size %s, overcommit %g)", format.Bytes(wanted), format.Bytes(size), a.Overcommit)
		advice = "wait for other jobs, make room, or lower storage.size or storage.min_free"
	}
	return &NoRoom{a.Pool, fmt.Sprintf("%s, is less than min_free %s; %s", text, format.Bytes(a.MinFree), advice)}
}
