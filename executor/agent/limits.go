package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// hardLimits are those of this process, and so of every one in the container, or
// the kernel's own where they are lower: Buildah gives itself the lower of both
// and cannot go back. Under Sysbox pid_max is 32768.
func hardLimits() (l sysbox.Limits, err error) {
	for _, limit := range []struct {
		resource int
		kernel   string
		to       *uint64
	}{
		{unix.RLIMIT_NOFILE, "/proc/sys/fs/nr_open", &l.NoFile},
		{unix.RLIMIT_NPROC, "/proc/sys/kernel/pid_max", &l.NProc},
	} {
		var r unix.Rlimit
		if err := unix.Getrlimit(limit.resource, &r); err != nil {
			return l, err
		}
		*limit.to = r.Max
		text, err := os.ReadFile(limit.kernel)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			*limit.to = min(*limit.to, n)
		}
	}
	return l, nil
}

// setNoFile sets the soft limit of open files, no higher than the hard one, of this
// process and of those that it starts. One that leaves no room for the script's
// descriptor changes nothing, nor does 0.
func setNoFile(soft uint64) error {
	if soft <= scriptFD {
		return nil
	}
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	if err == nil {
		r.Cur = min(soft, r.Max)
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
	}
	if err != nil {
		return fmt.Errorf("the limit of open files: %w", err)
	}
	return nil
}
