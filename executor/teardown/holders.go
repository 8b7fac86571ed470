package teardown

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// Holder is a process that keeps something from being removed.
type Holder struct {
	PID       int    `json:"pid"`
	Command   string `json:"command"`
	Container string `json:"container,omitempty"` // ID
	How       string `json:"how"`
}

func (h Holder) String() string {
	in := ""
	if h.Container != "" {
		in = fmt.Sprintf(" in container %.12s", h.Container)
	}
	return fmt.Sprintf("process %d (%s)%s: %s", h.PID, h.Command, in, h.How)
}

// Names are the holders as text.
func Names(holders []Holder) []string {
	var names []string
	for _, h := range holders {
		names = append(names, h.String())
	}
	return names
}

// maxHolders is how many are named: the first one found usually says it all.
const maxHolders = 5

// Holders finds processes that use a path of the host's, or something below it,
// or a device: by a mount, as working folder or root, or as an open file.
func Holders(path string) []Holder {
	holders := Mounters(path)
	for _, pid := range processes() {
		if len(holders) >= maxHolders {
			break
		}
		if pid == os.Getpid() || slices.ContainsFunc(holders, func(h Holder) bool { return h.PID == pid }) {
			continue
		}
		if how := use(pid, path); how != "" {
			holders = append(holders, holder(pid, how))
		}
	}
	return holders
}

// use tells how a process uses a path, or something below it; "" if it does not.
func use(pid int, path string) string {
	proc := fmt.Sprintf("/proc/%d", pid)
	files, _ := filepath.Glob(proc + "/fd/*")
	for i, link := range append([]string{proc + "/cwd", proc + "/root"}, files...) {
		if target, err := os.Readlink(link); err == nil && within(target, path) {
			return []string{"working folder ", "root folder ", "open file "}[min(i, 2)] + target
		}
	}
	return ""
}

// Mounters finds processes whose mount name space, other than ours, keeps alive
// what is at path, below it, or on the device path: one for each name space. A
// name space that was made while a job ran has copies of all mounts there were;
// such a copy counts only where somebody uses it, or where it keeps a device.
func Mounters(path string) []Holder {
	spaces := foreignSpaces()
	var holders []Holder
	for _, space := range slices.Sorted(maps.Keys(spaces)) {
		if h, ok := mounter(spaces[space], path); ok {
			holders = append(holders, h)
		}
		if len(holders) >= maxHolders {
			break
		}
	}
	return holders
}

// foreignSpaces are the mount name spaces other than ours, with their processes.
func foreignSpaces() map[string][]int {
	own, _ := os.Readlink("/proc/self/ns/mnt")
	spaces := map[string][]int{}
	for _, pid := range processes() {
		if space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err == nil && space != own {
			spaces[space] = append(spaces[space], pid)
		}
	}
	return spaces
}

// mounter finds who of the processes of one mount name space keeps path.
func mounter(pids []int, path string) (Holder, bool) {
	var mounts []*mountinfo.Info
	for _, pid := range pids {
		var err error
		if mounts, err = mountinfo.PidMountInfo(pid); err == nil {
			break
		}
	}
	for _, m := range mounts {
		how, ok := mountOf(m, path)
		if !ok {
			continue
		}
		copied := within(m.Mountpoint, path) && !strings.HasPrefix(m.Source, "/dev/")
		for _, pid := range pids {
			if used := use(pid, m.Mountpoint); used != "" {
				return holder(pid, used+" in a "+how), true
			}
		}
		if !copied {
			return holder(pids[0], how), true
		}
	}
	return Holder{}, false
}

// mountOf tells whether a mount is one of path, by its source, its root in its
// file system, its place, or an overlay's layers.
func mountOf(m *mountinfo.Info, path string) (string, bool) {
	at := "mount of " + path + " at " + m.Mountpoint
	// An engine may have mounted a device by another name.
	if major, minor, ok := blockDevice(path); ok && m.Major == major && m.Minor == minor {
		return at, true
	}
	if within(m.Source, path) || within(m.Mountpoint, path) || within(strings.TrimSuffix(m.Root, "//deleted"), path) {
		return at, true
	}
	for option := range strings.SplitSeq(m.VFSOptions, ",") {
		name, value, _ := strings.Cut(option, "=")
		if (name == "upperdir" || name == "workdir") && within(value, path) {
			return at, true
		}
	}
	return "", false
}

// blockDevice is the number of the block device at path; false where none is.
func blockDevice(path string) (major, minor int, ok bool) {
	var s unix.Stat_t
	if !strings.HasPrefix(path, "/dev/") || unix.Stat(path, &s) != nil || s.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, false
	}
	return int(unix.Major(s.Rdev)), int(unix.Minor(s.Rdev)), true
}

// within tells whether a path that the kernel gave is path, or below it.
func within(target, path string) bool {
	target = strings.TrimSuffix(target, " (deleted)")
	return target == path || strings.HasPrefix(target, path+"/")
}

func processes() []int {
	pids, _ := proc.List() // those that were read before an error are as good
	return pids
}

// containerID is how engines name a container's cgroup.
var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

func holder(pid int, how string) Holder {
	h := Holder{PID: pid, How: how, Command: "?"}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(line) > 0 {
		// A command line may hold a secret and be of any length: the program's name
		// is what a person looks for.
		h.Command = filepath.Base(strings.SplitN(string(line), "\x00", 2)[0])
	} else if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		h.Command = strings.TrimSpace(string(name))
	}
	if groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); err == nil {
		h.Container = containerID.FindString(string(groups))
	}
	return h
}
