package teardown

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/proc"
)

// Grip is who might keep a path alive once it is removed. The kernel takes the
// mounts of a removed folder out of every name space, so afterwards only those
// who stand in it keep it, and no mount table tells: one has to know them before.
type Grip struct {
	Path string
	// device is that of the file system mounted at Path; 0 where none is.
	device uint64
	// pids are the processes that stood in it, with the times of their starts.
	pids map[int]uint64
}

// Grips looks who stands in the paths.
func Grips(paths []string) []Grip {
	var grips []Grip
	for _, path := range paths {
		var here, above unix.Stat_t
		if unix.Stat(path, &here) != nil {
			continue
		}
		g := Grip{Path: path, pids: map[int]uint64{}}
		// A plain folder's device is everybody's.
		if unix.Stat(filepath.Dir(path), &above) == nil && here.Dev != above.Dev {
			g.device = uint64(here.Dev)
		}
		grips = append(grips, g)
	}
	for _, pid := range processes() {
		for _, g := range grips {
			if g.standing(pid) != "" {
				g.pids[pid] = proc.Started(pid)
			}
		}
	}
	return grips
}

// ParseGrip reads what String wrote of a grip on path.
func ParseGrip(path, text string) Grip {
	g := Grip{Path: path, pids: map[int]uint64{}}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		number, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		if name == "device" {
			g.device = number
		} else if pid, err := strconv.Atoi(name); err == nil {
			g.pids[pid] = number
		}
	}
	return g
}

// String is g without its path, for ParseGrip: the device, then process=start.
func (g Grip) String() string {
	text := fmt.Sprintf("device=%d", g.device)
	for pid, start := range g.pids {
		text += fmt.Sprintf(" %d=%d", pid, start)
	}
	return text
}

// standing tells how the process stands in the path; "" if it does not.
func (g Grip) standing(pid int) string {
	for how, link := range map[string]string{"working folder": "cwd", "root folder": "root"} {
		link = fmt.Sprintf("/proc/%d/%s", pid, link)
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if within(target, g.Path) {
			return how + " " + target
		}
		var s unix.Stat_t
		if g.device != 0 && unix.Stat(link, &s) == nil && uint64(s.Dev) == g.device {
			return how + " in " + g.Path
		}
	}
	return ""
}

// Holders are those who keep the path now, after its removal.
func (g Grip) Holders() []Holder {
	holders := Mounters(g.Path)
	for pid, start := range g.pids {
		// Another process may have the number by now, and another file system the
		// device's.
		if proc.Started(pid) != start || slices.ContainsFunc(holders, func(h Holder) bool { return h.PID == pid }) {
			continue
		}
		if how := g.standing(pid); how != "" {
			holders = append(holders, holder(pid, how))
		}
	}
	return holders
}

// Released waits until nobody keeps the path any more, and returns who does when
// ctx ends.
func (g Grip) Released(ctx context.Context) error {
	return Retry(ctx, Unmount, func(context.Context) error {
		holders := g.Holders()
		if len(holders) == 0 {
			return nil
		}
		return fmt.Errorf("%w: held by %s", unix.EBUSY, strings.Join(Names(holders), ", "))
	}, present(g.Path))
}
