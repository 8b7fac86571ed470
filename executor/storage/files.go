package storage

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// SystemConfig is the file that tools read when nothing else tells them, and the
// one that CONTAINERS_STORAGE_CONF names in a job (containers-storage.conf(5)).
const SystemConfig = "/etc/containers/storage.conf"

// File is one of those that carry the settings to where no variable reaches.
type File struct {
	Name string // in the job's folder
	Path string // in its containers
	Text string
}

// Files are mounted, read-only, into the job's container and its services: sudo,
// env -i, a login and systemd drop the environment, and Buildah 1.28 ignores
// STORAGE_DRIVER where there is no storage.conf.
func (s Settings) Files() []File {
	const head = "# Written by gitlab-sysbox-executor for this job.\n"
	return []File{
		{"storage.conf", SystemConfig, head + s.storageConf()},
		// Read last of all, also where the image has drop-ins of its own. What it puts into the environment of Buildah and Podman,
		// where it is missing there, even beats a user's own storage.conf
		// (containers.conf(5), [engine] env).
		{"storage-containers.conf", "/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf",
			head + "[engine]\nenv = [" + strings.Join(quoted(s.Fallback()), ", ") + "]\nimage_copy_tmp_dir = " + strconv.Quote(s.TMPDIR) + "\n"},
		{"systemd-system.conf", "/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf", head + manager(s.forRoot())},
		{"systemd-user.conf", "/etc/systemd/user.conf.d/zz-gitlab-sysbox-executor.conf", head + manager(s.forOthers())},
	}
}

// manager is for systemd, in quotes of its own kind (systemd-system.conf(5)): %
// and quotes in a TMPDIR are doubled or escaped.
func manager(s Settings) string {
	return "[Manager]\nDefaultEnvironment=" + strings.ReplaceAll(strings.Join(quoted(s.Environment()), " "), "%", "%%") + "\n"
}

func quoted(list []string) []string {
	var all []string
	for _, text := range list {
		all = append(all, strconv.Quote(text))
	}
	return all
}

// storageConf serves root and everybody else: for others than root tools take
// the store from rootless_storage_path and a runroot of their own.
func (s Settings) storageConf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[storage]\ndriver = %s\n", strconv.Quote(s.Driver))
	fmt.Fprintf(&b, "runroot = \"/run/containers/storage\"\n")
	fmt.Fprintf(&b, "graphroot = %s\n", strconv.Quote(path.Join(Mountpoint, "storage")))
	fmt.Fprintf(&b, "rootless_storage_path = %s\n", strconv.Quote(RootlessStores+"/$UID/storage"))
	if s = s.forRoot(); s.ImageStore != "" {
		fmt.Fprintf(&b, "\n[storage.options]\nadditionalimagestores = [%s]\n", strconv.Quote(s.ImageStore))
	}
	return b.String()
}
