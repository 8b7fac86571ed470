package teardown

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Grip is who might keep a path alive once it is removed: those that have it
// before. The kernel takes the mounts of a removed folder out of every name space, so
// that afterwards no mount table tells of those who stand in it; and a device number
// may be another file system's by then.
type Grip struct {
	target
	stands []stand
	spaces []space
}

// Grips finds, in one look, who has the paths, and says what was not looked at. A path
// that is not there has no grip.
func Grips(ctx context.Context, paths []string) (grips []Grip, gaps string) {
	l := lookFor(ctx, targets(ctx, paths), false)
	for _, s := range l.found {
		grips = append(grips, Grip(s))
	}
	return grips, l.gaps()
}

// gripText is a Grip in a journal.
type gripText struct {
	target
	Processes []stand `json:"processes,omitempty"`
	Spaces    []space `json:"mount_namespaces,omitempty"`
}

// mostParts bounds the memory that a text takes. It is far more than String writes
// of all the processes of a host.
const mostParts = 200_000

// maxWritten is how many processes a journal names of one path.
const maxWritten = 1000

// String is g without its path, for ParseGrip.
func (g Grip) String() string {
	stands := g.stands[:min(maxWritten, len(g.stands))]
	text, _ := json.Marshal(gripText{g.target, stands, g.spaces}) // it holds numbers and text only
	return string(text)
}

// ParseGrip reads what String wrote of a grip on path, also what versions before
// 2026 wrote: "device=NUMBER", then PID=START for each process. Of those, only
// processes on a file system of their own can be recognised.
func ParseGrip(path, text string) Grip {
	var read gripText
	if strings.Count(text, "{")+strings.Count(text, "=") > mostParts {
		return Grip{target: target{Path: path, Mount: numbers{-1, -1}}}
	}
	if json.Unmarshal([]byte(text), &read) == nil {
		g := Grip{read.target, read.Processes, read.Spaces}
		g.Path = path
		return g
	}
	g := Grip{target: target{Path: path, Mount: numbers{-1, -1}}}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		number, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		if name == "device" {
			g.Device, g.Whole = number, number != 0
		} else if pid, err := strconv.Atoi(name); err == nil {
			g.stands = append(g.stands, stand{process: process{pid, number}})
		}
	}
	return g
}

// Still is g with those only that keep the path now, after its removal; false when
// nobody does. When ctx ends, who was not looked at counts as one that does.
func (g Grip) Still(ctx context.Context) (Grip, bool) {
	var spaces []space
	for _, s := range g.spaces {
		if now, ok := g.mountedIn(ctx, s); ok {
			spaces = append(spaces, now)
		}
	}
	g.spaces = spaces
	g.stands = slices.DeleteFunc(slices.Clone(g.stands), func(s stand) bool { return ctx.Err() == nil && !g.stillStands(s) })
	return g, len(g.stands)+len(g.spaces) > 0
}

func (g Grip) stillStands(s stand) bool {
	if !s.runs() {
		return false
	}
	for _, link := range []string{"cwd", "root"} {
		var now unix.Statx_t
		if unix.Statx(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/%s", s.PID, link), statxFlags, unix.STATX_BASIC_STATS, &now) != nil {
			continue
		}
		if device(now) == s.Device && now.Ino == s.Inode || g.Whole && device(now) == g.Device {
			return true
		}
	}
	return false
}

// mountedIn looks whether the target still is mounted in a name space in which it
// was.
func (g Grip) mountedIn(ctx context.Context, s space) (space, bool) {
	for n, p := range s.Processes {
		if id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", p.PID)); err != nil || id != s.ID || !p.runs() {
			continue
		}
		s.Processes = s.Processes[n:]
		mounted := false
		err := scanMounts(ctx, strconv.Itoa(p.PID), maxMounts, func(m *mountinfo.Info) bool {
			if g.mountedAs(m) && !g.copied(m) {
				s.At, mounted = m.Mountpoint, true
			}
			return !mounted
		})
		return s, mounted || ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	}
	return s, false
}

// holders are those that keep the path, at most maxHolders.
func (g Grip) holders() []Holder { return seen(g).holders() }

// Released waits until nobody keeps the path any more, and returns who does when
// ctx ends.
func (g Grip) Released(ctx context.Context) error {
	return Retry(ctx, Unmount, func(ctx context.Context) error {
		now, held := g.Still(ctx)
		if !held {
			return nil
		}
		return fmt.Errorf("%w: held by %s", unix.EBUSY, strings.Join(Names(now.holders()), ", "))
	}, present(g.Path))
}
