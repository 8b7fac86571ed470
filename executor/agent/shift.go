package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// shifted returns the host-side ID of id in the user namespace of a user's rootless tools: 0 is
// the user, and the others are all IDs but 0 and the user's own, in order (the ranges of
// sysbox.FitSubIDs, subuid(5)).
func shifted(id, user uint32) uint32 {
	switch {
	case id == 0:
		return user
	case id < user:
		return id
	}
	return id + 1
}

// Shift changes the owners of dir and of everything below, so that a user's rootless tools see
// the owners that root sees now. Links are not followed.
func Shift(dir string, user uint32) error {
	seen := map[[2]uint64]bool{} // files with several names are changed once
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		if !entry.IsDir() && s.Nlink > 1 {
			file := [2]uint64{s.Dev, s.Ino}
			if seen[file] {
				return nil
			}
			seen[file] = true
		}
		capabilities, err := fileCapabilities(path, entry)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.Lchown(path, int(shifted(s.Uid, user)), int(shifted(s.Gid, user))); err != nil {
			return err
		}
		// A change of owner clears the setuid and setgid bits and the capabilities.
		if entry.Type()&fs.ModeSymlink == 0 && s.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
			if err := unix.Chmod(path, s.Mode&0o7777); err != nil {
				return &fs.PathError{Op: "chmod", Path: path, Err: err}
			}
		}
		if capabilities != nil {
			if err := unix.Setxattr(path, capabilityAttribute, ofUser(capabilities, user), 0); err != nil {
				return &fs.PathError{Op: "setxattr", Path: path, Err: err}
			}
		}
		return nil
	})
}

const capabilityAttribute = "security.capability"

func fileCapabilities(path string, entry fs.DirEntry) ([]byte, error) {
	if !entry.Type().IsRegular() {
		return nil, nil
	}
	value := make([]byte, 64)
	n, err := unix.Lgetxattr(path, capabilityAttribute, value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	return value[:max(n, 0)], err
}

// The attribute of a file's capabilities (capabilities(7); linux/capability.h, struct
// vfs_ns_cap_data) has the version in the highest of its first four bytes, then two pairs of
// sets, and since version 3 the root of the user namespace in which they apply.
const (
	capabilityVersion3 = 0x03000000
	capabilitySets     = 20
)

// ofUser returns the capabilities for the user's own user namespaces.
func ofUser(value []byte, user uint32) []byte {
	if len(value) < capabilitySets {
		return value
	}
	magic := binary.LittleEndian.Uint32(value)&0x00ffffff | capabilityVersion3
	made := binary.LittleEndian.AppendUint32(nil, magic)
	made = append(made, value[4:capabilitySets]...)
	return binary.LittleEndian.AppendUint32(made, user)
}
