package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// probeOverlay tries in dir, on the storage volume, what a build needs of native
// overlay in this container's user name space. It leaves nothing behind.
func probeOverlay(dir string) (err error) {
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
	// A file that is removed leaves a whiteout.
	if err := os.Remove(at("merged", "file")); err != nil {
		return fmt.Errorf("removing a lower file: %w", err)
	}
	if _, err := os.Lstat(at("merged", "file")); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a lower file that was removed is still there (%v)", err)
	}
	// An upper folder in the place of a lower one needs the opaque attribute.
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
		return fmt.Errorf("a replaced lower folder shines through (%v)", err)
	}
	if err := unix.Setxattr(at("merged", "folder"), "user.gsx", []byte("1"), 0); err != nil {
		return fmt.Errorf("setting an attribute: %w", err)
	}
	return nil
}
