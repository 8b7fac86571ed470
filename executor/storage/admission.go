package storage

import (
	"fmt"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/format"
)

// Pool is the source of the volumes' blocks. Sizes are in bytes.
type Pool struct {
	ID   string // the same for all volumes that share the pool
	Name string // for messages
	Free int64
	Size int64 // including used space
	// FreeInodes of Inodes are free; both are 0 if the file system has no such limit.
	FreeInodes, Inodes int64
}

// DiskPool is the file system of folder.
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

// Claim is the space that a job may still take from a pool.
type Claim struct {
	Pool  string `json:"pool"`
	Limit int64  `json:"limit"` // bytes
	// Mountpoint is the volume's mount point on the host, to measure its use.
	Mountpoint string `json:"mountpoint,omitempty"`
	// Used is the value that the agent in the job container reported, for a volume without
	// its own file system. Admission does not use it, because the container may lie.
	Used int64 `json:"used,omitempty"`
	// Image is the file behind the volume.
	Image Image `json:"image"`
}

// Open is the unused part of the claim, in bytes. Space whose use cannot be measured from here
// counts as unused.
func (c Claim) Open() int64 {
	used, _ := usedBelow(c.Mountpoint)
	return max(0, max(0, c.Limit)-max(0, used))
}

// Now is the used part of the claim, in bytes: measured, or else as last reported.
func (c Claim) Now() int64 {
	if used, ok := usedBelow(c.Mountpoint); ok {
		return used
	}
	return c.Used
}

// usedBelow is the used space of the file system that is mounted at path; false if none is
// mounted there.
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

// leastInodes is the share of a disk's inodes that must stay free. A job can fill a disk with
// many small files.
const leastInodes = 0.05

// Low reports whether less than minFree bytes, or too few inodes, are free.
func (p Pool) Low(minFree int64) bool { return p.Free < minFree || p.fewInodes() }

func (p Pool) fewInodes() bool { return float64(p.FreeInodes) < float64(p.Inodes)*leastInodes }

// Admission decides whether a new job's claim fits into a pool. Sizes are in bytes.
type Admission struct {
	Pool    Pool
	MinFree int64 // must stay free
	// Overcommit divides the size that sparse volumes may grow to; 1 counts it in full.
	Overcommit float64
	Running    []Claim
}

// NoRoom is the error for a claim that does not fit.
type NoRoom struct {
	Pool Pool
	text string
}

// Error contains the sizes.
func (e *NoRoom) Error() string { return e.text }

// Admit returns a *NoRoom if a claim of the given size may not fit. What names the data in the
// message.
func (a Admission) Admit(what string, size int64) error {
	// Floating point, because sums of values from files could overflow an integer. Up to 2^53
	// bytes it is exact.
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
