package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkIDMapping tries an ID-mapped mount on the file systems of the jobs' volumes: the kernel's
// version alone does not say which file systems support it.
func checkIDMapping(ctx context.Context, m *Machine) []Finding {
	if m.UID != 0 {
		return nil // only root may try
	}
	folders := []string{existing(m.Config.StateDir)}
	if engine := m.engineFolder(ctx); engine != "" {
		folders = append(folders, engine)
	}
	var kinds []string
	for _, dir := range folders {
		kind, _ := fileSystem(dir)
		switch err := idMapped(ctx, dir); {
		case errors.Is(err, errNoTrial):
			return found(Note, fmt.Sprintf("ID-mapped mounts could not be tried: %v", err), "run doctor as root outside containers")
		case err != nil:
			return found(Error, fmt.Sprintf("%s, on %s, has no ID-mapped mounts (%v): under Sysbox its files belong to nobody in a job", dir, kind, err),
				"move it to ext4, XFS or btrfs, or update the kernel")
		}
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	text := kinds[0]
	if len(kinds) > 1 {
		text += " and " + kinds[1]
	}
	return ok("ID-mapped mounts work on %s", text)
}

// errNoTrial means that the trial itself was not possible.
var errNoTrial = errors.New("no user namespace for the trial")

// idMapped tries an ID-mapped mount of dir (mount_setattr(2)). The mount is attached nowhere and
// ends with its descriptor.
func idMapped(ctx context.Context, dir string) error {
	// A process that waits gives the user namespace with the mapping.
	holder := exec.CommandContext(ctx, "cat")
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
	}
	in, err := holder.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTrial, err)
	}
	if err := holder.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNoTrial, err)
	}
	defer func() {
		in.Close()
		_ = holder.Wait() // it ends with its input
	}()
	namespace, err := unix.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTrial, err)
	}
	defer unix.Close(namespace)
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", errNoTrial, dir, err)
	}
	defer unix.Close(tree)
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace)})
}
