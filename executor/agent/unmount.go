package agent

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/executor/teardown"
)

// UnmountTime bounds the unmounting of all that a job has mounted.
const UnmountTime = 3 * time.Second

// UnmountOrder asks to unmount what the job has mounted, in a container whose
// first process is not ours and so has no list of what was there before.
type UnmountOrder struct {
	// Below are folders of the job's: whatever is mounted below them is its own.
	// What is mounted right at them belongs to the container.
	Below []string `json:"below"`
}

// UnmountReport says what could not be unmounted, and why.
type UnmountReport struct {
	Left []string `json:"left,omitempty"`
}

// UnmountNested answers an UnmountOrder read from in with an UnmountReport
// written to out.
func UnmountNested(in io.Reader, out io.Writer) error {
	return answer("unmount", in, out, func(o UnmountOrder) UnmountReport { return unmountNested(o.nested) })
}

// nested tells whether a mount is the job's: by its place, or because no runtime
// makes such a mount in a container but for its root.
func (o UnmountOrder) nested(m *mountinfo.Info) bool {
	if m.Mountpoint == "/" {
		return false
	}
	if m.FSType == "overlay" || m.FSType == "nsfs" || strings.HasPrefix(m.FSType, "fuse.fuse-overlayfs") {
		return true
	}
	return slices.ContainsFunc(o.Below, func(dir string) bool { return dir != "" && strings.HasPrefix(m.Mountpoint, dir+"/") })
}

// mountIDs are the mounts there are now.
func mountIDs() map[int]bool {
	now, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil
	}
	ids := map[int]bool{}
	for _, m := range now {
		ids[m.ID] = true
	}
	return ids
}

// unmountSince unmounts whatever was mounted after the mounts in before. When
// those are not known, nothing is.
func unmountSince(before map[int]bool) UnmountReport {
	if before == nil {
		return UnmountReport{}
	}
	return unmountNested(func(m *mountinfo.Info) bool { return !before[m.ID] })
}

// unmountNested unmounts the mounts that are the job's, deepest first, and lazily
// what stays busy: within UnmountTime in all.
func unmountNested(ours func(*mountinfo.Info) bool) UnmountReport {
	ctx, cancel := context.WithTimeout(context.Background(), UnmountTime)
	defer cancel()
	left := map[string]error{}
	// A mount may hide others, and several may lie on one another: look again.
	for range 10 {
		found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return !ours(m), false })
		if err != nil {
			return UnmountReport{Left: []string{err.Error()}}
		}
		points := slices.DeleteFunc(teardown.Deepest(found), func(p string) bool { return left[p] != nil })
		if len(points) == 0 {
			break
		}
		for _, p := range points {
			// Most of the time goes to none of them alone.
			short, cancel := context.WithTimeout(ctx, UnmountTime/10)
			if err := teardown.Unmounted(short, p, true); err != nil {
				left[p] = err
			}
			cancel()
		}
	}
	var r UnmountReport
	for p, err := range left {
		r.Left = append(r.Left, fmt.Sprintf("%s: %v", p, err))
	}
	slices.Sort(r.Left)
	return r
}
