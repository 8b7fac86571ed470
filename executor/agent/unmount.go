package agent

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/executor/teardown"
)

// UnmountTime bounds the unmounting of everything that a job mounted.
const UnmountTime = 3 * time.Second

// UnmountRequest asks to unmount what the job mounted. It is for containers whose first process is
// not the agent, so that there is no list of the mounts before the job.
type UnmountRequest struct {
	// Below are folders of the job: mounts below them are the job's, mounts at them are the
	// container's.
	Below []string `json:"below"`
}

// UnmountResponse lists what could not be unmounted, and why.
type UnmountResponse struct {
	Left []string `json:"left,omitempty"`
}

// UnmountNested answers an UnmountRequest read from in with an UnmountResponse
// written to out.
func UnmountNested(in io.Reader, out io.Writer) error {
	return answer("unmount", in, out, func(o UnmountRequest) UnmountResponse { return unmountNested(o.nested) })
}

// nested reports whether a mount is the job's: it is below a folder of the job, or it has a type
// that runtimes use for a container's root only.
func (o UnmountRequest) nested(m *mountinfo.Info) bool {
	if m.Mountpoint == "/" {
		return false
	}
	// systemd does not stop while one of these is mounted from a tmpfs: it waits for the end of the swap, and
	// nothing wakes it up (seen with 252).
	if path.Base(path.Dir(m.Root)) == path.Base(coverDir) {
		return true
	}
	if m.FSType == "overlay" || m.FSType == "nsfs" || strings.HasPrefix(m.FSType, "fuse.fuse-overlayfs") {
		return true
	}
	return slices.ContainsFunc(o.Below, func(dir string) bool { return dir != "" && strings.HasPrefix(m.Mountpoint, dir+"/") })
}

// mountIDs returns the IDs of the current mounts.
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

// unmountSince unmounts everything that was mounted after the mounts in before, or nothing if
// before is unknown.
func unmountSince(before map[int]bool) UnmountResponse {
	if before == nil {
		return UnmountResponse{}
	}
	return unmountNested(func(m *mountinfo.Info) bool { return !before[m.ID] })
}

// unmountNested unmounts the job's mounts within UnmountTime, deepest first. It detaches busy
// mounts lazily.
func unmountNested(ours func(*mountinfo.Info) bool) UnmountResponse {
	ctx, cancel := context.WithTimeout(context.Background(), UnmountTime)
	defer cancel()
	left := map[string]error{}
	// A mount may hide others, and several may be at one path: list them again.
	for range 10 {
		found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return !ours(m), false })
		if err != nil {
			return UnmountResponse{Left: []string{err.Error()}}
		}
		points := slices.DeleteFunc(teardown.Deepest(found), func(p string) bool { return left[p] != nil })
		if len(points) == 0 {
			break
		}
		for _, p := range points {
			// One mount gets only a part of the time, so that the others get theirs.
			short, cancel := context.WithTimeout(ctx, UnmountTime/10)
			if err := teardown.Unmounted(short, p, true); err != nil {
				left[p] = err
			}
			cancel()
		}
	}
	var r UnmountResponse
	for p, err := range left {
		r.Left = append(r.Left, fmt.Sprintf("%s: %v", p, err))
	}
	slices.Sort(r.Left)
	return r
}
