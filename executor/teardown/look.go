package teardown

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

var (
	// lookTime bounds one pass over all processes and mount namespaces.
	lookTime = 2 * time.Second
	// maxStands and maxSpaces bound the recorded processes and mount namespaces of one
	// target: about 50 bytes for each process.
	maxStands = 20_000
	maxSpaces = 100
)

// process identifies a running or ended process.
type process struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks since boot
}

func (p process) runs() bool { return p.Started != 0 && proc.Started(p.PID) == p.Started }

// stand is a process that uses a target: in it as a folder, or as an open file.
type stand struct {
	process
	How    string `json:"how"` // "working folder", "root folder" or "open file"
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// space is a mount namespace in which a target is mounted.
type space struct {
	ID        string    `json:"id"` // the text of /proc/PID/ns/mnt
	Processes []process `json:"processes"`
	// At is the mount point in that namespace, which chooses the text.
	At     string `json:"at"`
	copied bool
}

// seen is the result of one pass for one target.
type seen struct {
	target
	stands []stand
	spaces []space
}

// look is one pass over all processes and mount namespaces of this machine, for all targets
// at once. Its memory and time are bounded, whatever containers do.
type look struct {
	files bool // check open files, too

	mu    sync.Mutex
	found []seen
	// many counts mount namespaces with more mounts than are read.
	many int
	// cut means that the time ended before everything was checked.
	cut bool
}

// lookFor finds the processes that use the targets. It returns the result after at most
// lookTime.
func lookFor(ctx context.Context, targets []target, files bool) *look {
	l := &look{files: files}
	if len(targets) == 0 {
		return l
	}
	for _, t := range targets {
		l.found = append(l.found, seen{target: t})
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	done := make(chan struct{})
	go func() { // an unreachable network file system could block it for ever
		defer close(done)
		l.run(ctx)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = ctx.Err() != nil
	snapshot := &look{many: l.many, cut: l.cut}
	for _, s := range l.found {
		s.stands, s.spaces = slices.Clone(s.stands), slices.Clone(s.spaces)
		snapshot.found = append(snapshot.found, s)
	}
	return snapshot
}

// gaps describes what was not checked; empty if everything was.
func (l *look) gaps() string {
	var gaps []string
	if l.many > 0 {
		gaps = append(gaps, fmt.Sprintf("%d mount namespaces have more than %d mounts each; the others were not checked", l.many, maxMounts))
	}
	if l.cut {
		gaps = append(gaps, fmt.Sprintf("not all processes and mounts could be checked within %s", lookTime))
	}
	return strings.Join(gaps, "; ")
}

func (l *look) run(ctx context.Context) {
	ours, _ := os.Readlink("/proc/self/ns/mnt")
	ourUsers, _ := os.Readlink("/proc/self/ns/user")
	pids, _ := proc.List() // an incomplete list is useful, too
	spaces := map[string][]process{}
	var order, foreign []string
	for _, pid := range pids {
		if ctx.Err() != nil {
			return
		}
		if pid == os.Getpid() {
			continue
		}
		l.process(ctx, pid)
		id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err != nil || id == ours {
			continue
		}
		if len(spaces[id]) == 0 {
			// The machine's own services come first, so that a job's mounts cannot hide them.
			if users, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid)); users == ourUsers {
				order = append(order, id)
			} else {
				foreign = append(foreign, id)
			}
		}
		if len(spaces[id]) < 16 { // more than one, because some may end
			spaces[id] = append(spaces[id], process{PID: pid})
		}
	}
	for _, id := range append(order, foreign...) {
		if ctx.Err() != nil {
			return
		}
		l.space(ctx, space{ID: id, Processes: spaces[id]})
	}
}

// process checks the folders and files of one process.
func (l *look) process(ctx context.Context, pid int) {
	folder := fmt.Sprintf("/proc/%d/", pid)
	l.file(pid, "working folder", folder+"cwd")
	l.file(pid, "root folder", folder+"root")
	if !l.files {
		return
	}
	fds, err := os.Open(folder + "fd")
	if err != nil {
		return
	}
	defer fds.Close()
	for ctx.Err() == nil {
		names, err := fds.Readdirnames(256)
		for _, name := range names {
			l.file(pid, "open file", folder+"fd/"+name)
		}
		if err != nil {
			return // io.EOF, or the process has ended
		}
	}
}

func (l *look) file(pid int, how, link string) {
	var s unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, link, statxFlags, unix.STATX_BASIC_STATS, &s) != nil {
		return
	}
	for n := range l.found {
		t := &l.found[n]
		if !t.has(link, s) {
			continue
		}
		l.mu.Lock()
		if last := len(t.stands) - 1; len(t.stands) < maxStands && (last < 0 || t.stands[last].PID != pid) {
			t.stands = append(t.stands, stand{process{pid, proc.Started(pid)}, how, device(s), s.Ino})
		}
		l.mu.Unlock()
	}
}

// space checks the mounts of one mount namespace.
func (l *look) space(ctx context.Context, s space) {
	err := errors.New("no process")
	for n := 0; n < len(s.Processes) && err != nil && !errors.Is(err, errManyMounts); n++ {
		err = scanMounts(ctx, strconv.Itoa(s.Processes[n].PID), maxMounts, func(m *mountinfo.Info) bool {
			l.mount(s, m)
			return true
		})
	}
	if errors.Is(err, errManyMounts) {
		l.mu.Lock()
		l.many++
		l.mu.Unlock()
	}
}

func (l *look) mount(s space, m *mountinfo.Info) {
	for n := range l.found {
		t := &l.found[n]
		if !t.mountedAs(m) {
			continue
		}
		s.At, s.copied = m.Mountpoint, t.copied(m)
		l.mu.Lock()
		switch at := slices.IndexFunc(t.spaces, func(have space) bool { return have.ID == s.ID }); {
		case at < 0 && len(t.spaces) < maxSpaces:
			for n := range s.Processes {
				s.Processes[n].Started = proc.Started(s.Processes[n].PID)
			}
			t.spaces = append(t.spaces, s)
		case at >= 0 && t.spaces[at].copied:
			t.spaces[at].At, t.spaces[at].copied = s.At, s.copied
		}
		l.mu.Unlock()
	}
}
