package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// hardLimits returns the hard limits of this process, which all processes in the container
// share, or those of the kernel if they are lower. Buildah sets the lower one for itself and
// cannot raise it again. Under Sysbox pid_max is 32768.
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

// setNoFile sets the soft limit of open files, up to the hard limit, for this process and its
// children. It ignores 0 and any limit too low for the script's descriptor.
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
