package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// checkSubIDs looks at the range from which Sysbox's containers have their IDs.
func checkSubIDs(ctx context.Context, m *Machine) []Finding {
	if m.SysboxVersion(ctx) == "" {
		return nil
	}
	const again = "when no job runs: systemctl restart sysbox, which writes the entry again"
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		ranges, err := user.ParseSubIDFile(m.path(file))
		if err != nil {
			return found(Error, fmt.Sprintf("%s: %v", file, err), again)
		}
		n := slices.IndexFunc(ranges, func(r user.SubID) bool { return r.Name == "sysbox" })
		if n < 0 {
			return found(Error, file+" has no range of the user sysbox: no container starts", again)
		}
		own := ranges[n]
		if own.Count != sysbox.NamespaceSize {
			return found(Warning, fmt.Sprintf("%s gives the user sysbox %d IDs instead of %d", file, own.Count, sysbox.NamespaceSize), again)
		}
		for i, r := range ranges {
			if i != n && r.SubID < own.SubID+own.Count && own.SubID < r.SubID+r.Count {
				return found(Warning, fmt.Sprintf("%s: the range %d:%d of %q overlaps that of Sysbox, %d:%d: processes of the one can change files of the other", file, r.SubID, r.Count, r.Name, own.SubID, own.Count),
					"give "+r.Name+" another range (usermod --del-subuids, --add-subuids)")
			}
		}
	}
	return ok("the user sysbox has %d user and group IDs of its own", sysbox.NamespaceSize)
}

// checkClock finds a clock that is wrong or that nothing sets: certificates and tokens then fail.
func checkClock(_ context.Context, m *Machine) []Finding {
	const next = "set the clock and keep it set: apt-get install systemd-timesyncd, or chrony"
	now := time.Now()
	if info, err := os.Stat(m.Self); err == nil && info.ModTime().After(now.Add(time.Hour)) {
		return found(Error, fmt.Sprintf("the clock says %s, and this program is newer", now.Format(time.RFC3339)), next)
	}
	newest := now
	paths, _ := filepath.Glob(filepath.Join(m.state().Journals(), "*"))
	for _, path := range append(paths, m.state().GC()) {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if newest.After(now.Add(time.Minute)) {
		return found(Warning, fmt.Sprintf("the clock says %s, and a file of a job is from %s: it was set back", now.Format(time.RFC3339), newest.Format(time.RFC3339)), next)
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err == nil && state == unix.TIME_ERROR {
		return found(Note, "nothing keeps the clock synchronised, as the kernel sees it", next)
	}
	return ok("synchronised")
}
