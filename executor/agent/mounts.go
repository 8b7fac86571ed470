package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Mount is a requested mount of the container.
type Mount struct {
	Target string `json:"target"`
	// Device and Inode identify the content on the host; both are 0 if unknown.
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	// FSType is the requested kind of file system; empty for any.
	FSType string `json:"fs_type,omitempty"`
	// Spare is a second path with the same content; empty if there is none.
	Spare string `json:"spare,omitempty"`
}

// MountFault is a requested mount that is not visible at its target.
type MountFault struct {
	Target string `json:"target"`
	// Reason describes what is there instead.
	Reason string `json:"reason"`
	// Moved is a path where it is visible; empty if there is none.
	Moved string `json:"moved,omitempty"`
	// Restored means that it was mounted at Target again.
	Restored bool `json:"restored,omitempty"`
}

// checkMounts compares the requested mounts with those that a process of the job sees. A hidden
// mount with a spare path is mounted again from there.
func checkMounts(wanted []Mount) ([]MountFault, error) {
	var faults []MountFault
	for _, m := range wanted {
		reason, err := m.check(m.Target)
		if err != nil {
			return nil, err
		}
		if reason == "" {
			continue
		}
		f := MountFault{Target: m.Target, Reason: reason}
		if m.Spare != "" {
			other, err := m.check(m.Spare)
			if err != nil {
				return nil, err
			}
			if other == "" {
				f.Moved = m.Spare
				f.Restored = m.restore()
			}
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// check returns why path does not have m's content; empty if it does.
func (m Mount) check(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return m.hidden(path)
	}
	// All links are resolved: a process of the job opens the same file.
	fd, err := unix.Open(real, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Sprintf("it cannot be opened: %v", err), nil
	}
	defer unix.Close(fd)
	var at unix.Stat_t
	if err := unix.Fstat(fd, &at); err != nil {
		return "", err
	}
	if m.Inode != 0 && at.Ino == m.Inode && at.Dev == m.Device {
		return "", nil
	}
	// The device may differ although the content is the same: shiftfs reports its own device.
	id, err := mountID(fd)
	if err != nil {
		return "", err
	}
	var visible *mountinfo.Info
	here := 0
	if _, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		if i.ID == id {
			visible = i
		}
		if i.Mountpoint == real {
			here++
		}
		return true, false
	}); err != nil {
		return "", err
	}
	switch {
	case visible == nil || visible.Mountpoint != real:
		return m.hidden(path)
	case m.Inode != 0 && at.Ino != m.Inode:
		return fmt.Sprintf("other content is mounted there (%s on %s)", visible.Root, visible.FSType), nil
	case m.FSType != "" && visible.FSType != m.FSType:
		return fmt.Sprintf("a %s is mounted there instead of the requested %s", visible.FSType, m.FSType), nil
	case m.Inode == 0 && here > 1 && visible.FSType != "shiftfs": // Sysbox itself mounts shiftfs on top
		return "it is hidden by another mount", nil
	}
	return "", nil
}

// hidden returns what hides m at path.
func (m Mount) hidden(path string) (string, error) {
	made, over := false, (*mountinfo.Info)(nil)
	// The table lists mounts in the order in which they were made.
	_, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		switch {
		case i.Mountpoint == path:
			made, over = true, nil
		case made && strings.HasPrefix(path, i.Mountpoint+"/"):
			over = i
		}
		return true, false
	})
	switch {
	case err != nil:
		return "", err
	case over != nil:
		return fmt.Sprintf("it is hidden by a %s that was mounted on %s afterwards", over.FSType, over.Mountpoint), nil
	case made:
		return "it is hidden by another mount", nil
	}
	return "it is not in the container's mount table", nil
}

// restore mounts the content of the spare path at the target.
func (m Mount) restore() bool {
	var from unix.Stat_t
	if unix.Stat(m.Spare, &from) != nil {
		return false
	}
	if _, err := os.Lstat(m.Target); err != nil {
		if from.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = os.MkdirAll(m.Target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(m.Target), 0o755); err == nil {
			err = os.WriteFile(m.Target, nil, 0o600)
		}
		if err != nil {
			return false
		}
	}
	if unix.Mount(m.Spare, m.Target, "", unix.MS_BIND|unix.MS_REC, "") != nil {
		return false
	}
	// The table still lists the hidden mount, so only the content shows whether it is visible.
	m.Device, m.Inode = from.Dev, from.Ino
	reason, err := m.check(m.Target)
	return err == nil && reason == ""
}

// mountID returns the ID of the mount through which fd was reached; the kernel reports it
// since 3.15.
func mountID(fd int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("/proc/self/fdinfo has no mnt_id")
}
