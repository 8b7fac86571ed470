package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/emulator"
)

// EmulatorsDir has the emulators in a container.
const EmulatorsDir = Dir + "/emulators"

// binfmtFolder is where the kernel's interface for foreign programs is mounted
// (https://docs.kernel.org/admin-guide/binfmt-misc.html).
const binfmtFolder = "/proc/sys/fs/binfmt_misc"

// emulate lets the kernel run programs for these architectures with the emulators in EmulatorsDir. It may be called
// again.
//
// Since Linux 6.7 a user namespace can have registrations of its own. A mount that this process makes shows those of its
// own user namespace. So nothing is registered through a mount that was already there, which may be the
// host's, and nothing in the host's own user namespace.
func emulate(architectures []string) error {
	if len(architectures) == 0 {
		return nil
	}
	if hosts, err := inHostsUserNamespace(); err != nil {
		return err
	} else if hosts {
		return errors.New("the container has the host's user namespace")
	}
	err := mountBinfmt()
	switch {
	case err == nil:
	case errors.Is(err, unix.EBUSY): // the same file system is mounted there (mount(2)): that of this user namespace
		var s unix.Statfs_t
		if err := unix.Statfs(binfmtFolder, &s); err != nil || s.Type != unix.BINFMTFS_MAGIC {
			return fmt.Errorf("another file system is mounted at %s", binfmtFolder)
		}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the host's kernel has no binfmt_misc (%w): load its module with modprobe binfmt_misc", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("the container cannot have registrations of its own (binfmt_misc: %w); that needs Linux 6.7 and Sysbox 0.6.7", err)
	default:
		return fmt.Errorf("mounting binfmt_misc: %w", err)
	}
	for _, name := range architectures {
		a, ok := emulator.Find(name)
		if !ok {
			return fmt.Errorf("the architecture %q is not known", name)
		}
		if err := register(binfmtFolder, a); err != nil {
			return fmt.Errorf("registering the emulator for %s: %w", name, err)
		}
	}
	return nil
}

// mountBinfmt mounts the registrations of this user namespace. Under Sysbox the kernel finds the folder only if it was
// looked up before: sysbox-fs cannot enter the namespaces of a process that is in mount(2), and answers ENOENT.
func mountBinfmt() error {
	if _, err := os.Stat(binfmtFolder); err != nil {
		return err
	}
	return unix.Mount("binfmt_misc", binfmtFolder, "binfmt_misc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// emulateFault is why emulate failed; empty if it did not.
func emulateFault(architectures []string) string {
	if err := emulate(architectures); err != nil {
		return err.Error()
	}
	return ""
}

func register(folder string, a emulator.Architecture) error {
	f, err := os.OpenFile(folder+"/register", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(a.Registration(EmulatorsDir + "/" + a.Program()))
	if errors.Is(err, unix.EEXIST) { // from an earlier call
		return nil
	}
	return err
}

// inHostsUserNamespace reports whether this process is in the first user namespace, which has all IDs
// (user_namespaces(7)).
func inHostsUserNamespace() (bool, error) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false, err
	}
	return strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295", nil
}
