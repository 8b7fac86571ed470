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

// PossibleHolders has the possible holders of a path: the processes that use it before it is removed.
// They must be recorded before. The kernel removes the mounts of a deleted folder from every
// namespace, so afterwards no mount table shows the processes in it, and the device number
// may be reused.
type PossibleHolders struct {
	target
	stands []stand
	spaces []space
}

// AllPossibleHolders finds the holders of all paths in one pass, and describes what it could not check. A
// path that does not exist has none.
func AllPossibleHolders(ctx context.Context, paths []string) (possible []PossibleHolders, gaps string) {
	l := lookFor(ctx, targets(ctx, paths), false)
	for _, s := range l.found {
		possible = append(possible, PossibleHolders(s))
	}
	return possible, l.gaps()
}

// possibleText is the form of PossibleHolders in a journal.
type possibleText struct {
	target
	Processes []stand `json:"processes,omitempty"`
	Spaces    []space `json:"mount_namespaces,omitempty"`
}

// mostParts bounds the memory for a text. It is far above what String writes for all
// processes of a host.
const mostParts = 200_000

// maxWritten bounds the processes of one path in a journal.
const maxWritten = 1000

// String returns g without its path, for ParsePossibleHolders.
func (g PossibleHolders) String() string {
	stands := g.stands[:min(maxWritten, len(g.stands))]
	text, _ := json.Marshal(possibleText{g.target, stands, g.spaces}) // cannot fail: numbers and text only
	return string(text)
}

// ParsePossibleHolders reads what String wrote for path. It also reads the format of versions
// before 2026: "device=NUMBER", then PID=START for each process. From that format it can
// recognise only processes on a file system of their own.
func ParsePossibleHolders(path, text string) PossibleHolders {
	var read possibleText
	if strings.Count(text, "{")+strings.Count(text, "=") > mostParts {
		return PossibleHolders{target: target{Path: path, Mount: numbers{-1, -1}}}
	}
	if json.Unmarshal([]byte(text), &read) == nil {
		g := PossibleHolders{read.target, read.Processes, read.Spaces}
		g.Path = path
		return g
	}
	g := PossibleHolders{target: target{Path: path, Mount: numbers{-1, -1}}}
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

// Still returns g with the holders that keep the path after its removal, and false if there
// are none. If ctx ends, an unchecked holder counts as one that keeps it.
func (g PossibleHolders) Still(ctx context.Context) (PossibleHolders, bool) {
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

func (g PossibleHolders) stillStands(s stand) bool {
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

// mountedIn reports whether the target is still mounted in a namespace in which it was mounted.
func (g PossibleHolders) mountedIn(ctx context.Context, s space) (space, bool) {
	for n, p := range s.Processes {
		if id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", p.PID)); err != nil || id != s.ID || !p.runs() {
			continue
		}
		s.Processes = s.Processes[n:]
		mounted := false
		err := scanMounts(ctx, strconv.Itoa(p.PID), maxMounts, func(m *mountinfo.Info) bool {
			if g.mountedAs(m) && !g.copied(m) && !g.another(m) {
				s.At, mounted = m.Mountpoint, true
			}
			return !mounted
		})
		return s, mounted || ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
	}
	return s, false
}

// holders returns at most maxHolders holders of the path.
func (g PossibleHolders) holders() []Holder { return seen(g).holders() }

// Released waits until the path has no holders. If ctx ends first, its error names them.
func (g PossibleHolders) Released(ctx context.Context) error {
	return Retry(ctx, Unmount, func(ctx context.Context) error {
		now, held := g.Still(ctx)
		if !held {
			return nil
		}
		return fmt.Errorf("%w: held by %s", unix.EBUSY, strings.Join(Names(now.holders()), ", "))
	}, present(g.Path))
}
