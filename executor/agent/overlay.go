package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ProbeOverlay tests, in dir on the storage volume, the features of native overlay that a build
// needs in this container's user namespace. It leaves no files behind.
func ProbeOverlay(dir string) (err error) {
	top, err := os.MkdirTemp(dir, ".overlay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	at := func(parts ...string) string { return filepath.Join(append([]string{top}, parts...)...) }
	for _, d := range []string{at("lower", "folder"), at("upper"), at("work"), at("merged")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, f := range []string{at("lower", "file"), at("lower", "folder", "file")} {
		if err := os.WriteFile(f, []byte("lower"), 0o644); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at("lower"), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting it: %w", err)
	}
	defer func() {
		if unix.Unmount(at("merged"), 0) != nil {
			err = errors.Join(err, unix.Unmount(at("merged"), unix.MNT_DETACH))
		}
	}()
	// The removal of a lower file needs a whiteout.
	if err := os.Remove(at("merged", "file")); err != nil {
		return fmt.Errorf("removing a lower file: %w", err)
	}
	if _, err := os.Lstat(at("merged", "file")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a removed lower file is still visible (%v)", err)
	}
	// An upper folder that replaces a lower one needs the opaque attribute.
	if err := os.RemoveAll(at("merged", "folder")); err != nil {
		return fmt.Errorf("removing a lower folder: %w", err)
	}
	if err := os.Mkdir(at("merged", "new"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(at("merged", "new"), at("merged", "folder")); err != nil {
		return fmt.Errorf("renaming over a lower folder: %w", err)
	}
	if _, err := os.Lstat(at("merged", "folder", "file")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a file of a replaced lower folder is still visible (%v)", err)
	}
	if err := unix.Setxattr(at("merged", "folder"), "user.gsx", []byte("1"), 0); err != nil {
		return fmt.Errorf("setting an attribute: %w", err)
	}
	return nil
}
