package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// Tools describes the settings of the container tools in a container.
type Tools struct {
	// Settings are those at the container's creation.
	Settings storage.Settings `json:"settings"`
	// Stores are the image stores that the container sees.
	Stores storage.Stores `json:"stores"`
}

// writeSettings adapts the settings files to the result of the inspection. It does not change the
// host's files, from which the container was created.
func writeSettings(s storage.Settings, limits sysbox.Limits) error {
	for _, f := range toolconf.Files(s, limits) {
		// A hidden file is reported with the other mounts.
		if err := cover(coverDir, f.Path, f.Text); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("the settings in %s: %w", f.Path, err)
		}
	}
	return nil
}

// coverDir has the files that cover mounts.
const coverDir = "/run/gitlab-sysbox-executor"

// cover writes the text to a file in dir and mounts it read-only over the file at path, for this
// container only. A reader of path sees the old or the new text, never a part. cover does
// nothing if the text is the same.
func cover(dir, path, text string) (err error) {
	if now, err := os.ReadFile(path); err == nil && string(now) == text {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := unix.Mount(f.Name(), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting it: %w", err)
	}
	// This mount must keep the flags of the file system below: a user namespace cannot clear them.
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return err
	}
	kept := uintptr(s.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|kept, ""); err != nil {
		return fmt.Errorf("mounting it read-only: %w", err)
	}
	return nil
}
