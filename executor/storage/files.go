package storage

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// SystemConfig is the storage.conf that programs read by default. In a job,
// CONTAINERS_STORAGE_CONF also names it (containers-storage.conf(5)).
const SystemConfig = "/etc/containers/storage.conf"

// File is a configuration file with the settings, for processes without the variables.
type File struct {
	Name string // name in the job's folder
	Path string // path in its containers
	Text string
}

// Files are mounted read-only into the job container and its services, because sudo, env -i,
// a login and systemd drop the environment, and because Buildah 1.28 ignores STORAGE_DRIVER
// if there is no storage.conf.
func (s Settings) Files() []File {
	const head = "# Written by gitlab-sysbox-executor for this job.\n"
	return []File{
		{"storage.conf", SystemConfig, head + s.storageConf()},
		// Read last, even if the image has its own drop-in files. Buildah and Podman set
		// these variables if they are missing; they then override a user's storage.conf
		// (containers.conf(5), [engine] env).
		{"storage-containers.conf", "/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf",
			head + "[engine]\nenv = [" + strings.Join(quoted(s.Fallback()), ", ") + "]\nimage_copy_tmp_dir = " + strconv.Quote(s.TMPDIR) + "\n"},
		{"systemd-system.conf", "/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf", head + manager(s.forRoot())},
		{"systemd-user.conf", "/etc/systemd/user.conf.d/zz-gitlab-sysbox-executor.conf", head + manager(s.forOthers())},
	}
}

// manager is systemd's configuration, with its own rules for quotes (systemd-system.conf(5)):
// % is doubled and quotes in a TMPDIR are escaped.
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

// storageConf is for root and for other users. For other users, programs take the store from
// rootless_storage_path and their own runroot.
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
