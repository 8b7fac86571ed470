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

// Tools are the settings of the container tools in a container.
type Tools struct {
	// Settings are those that the container was made with.
	Settings storage.Settings `json:"settings"`
	// Stores are the stores of images that it sees.
	Stores storage.Stores `json:"stores"`
}

// settle brings the files of the settings up to what the container turned out to be.
// The host's files, which it was made with, stay as they are.
func (t Tools) settle(overlay bool, uid int, limits sysbox.Limits) error {
	for _, f := range toolconf.Files(t.Settings.Settle(overlay, uid, t.Stores), limits) {
		// One that is hidden is reported with the other mounts.
		if err := cover(coverDir, f.Path, f.Text); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("the settings in %s: %w", f.Path, err)
		}
	}
	return nil
}

// coverDir is where the files lie that cover mounts.
const coverDir = "/run/gitlab-sysbox-executor"

// cover mounts a file in dir with the text over the one at path, read-only, in one
// step: who opens path finds the old text or the new one, never a part. Only this
// container sees it. Nothing is done where the text is there already.
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
	// What the file system below is mounted with cannot be taken away from here.
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
