package storage

import (
	"context"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// xfsFreeEOFBlocks is XFS_IOC_FREE_EOFBLOCKS, _IOR('X', 58, struct
// xfs_fs_eofblocks) of xfs_fs.h, and xfsEOFBlocks that structure.
const xfsFreeEOFBlocks = 2<<30 | unsafe.Sizeof(xfsEOFBlocks{})<<16 | 'X'<<8 | 58

type xfsEOFBlocks struct {
	version, flags, uid, gid, project, _ uint32
	least                                uint64
	_                                    [12]uint64
}

// UsedOf is how many bytes are used on the file system of its own that is mounted at
// path; false where there is none, or it cannot be asked until ctx ends.
//
// XFS frees the blocks of removed files in the background (since Linux 5.14; a
// statfs since 5.19 only hurries that on), and keeps blocks behind the end of
// files that grow. Asking it to free the latter makes it finish the former first
// (xfs_blockgc_free_space), so that removed files are in the figure of no kernel.
func UsedOf(ctx context.Context, path string) (int64, bool) {
	if _, ok := usedBelow(path); !ok {
		return 0, false
	}
	// What remains to be freed may be much, and the call cannot be interrupted.
	done := make(chan error, 1)
	go func() { done <- finishRemovals(path) }()
	select {
	case err := <-done:
		if err != nil {
			return 0, false
		}
	case <-ctx.Done():
		return 0, false
	}
	return usedBelow(path)
}

// finishRemovals lets XFS at path finish what it does in the background; other
// file systems have nothing of the kind.
func finishRemovals(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	arg := xfsEOFBlocks{version: 1}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), xfsFreeEOFBlocks, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 && errno != unix.ENOTTY {
		return os.NewSyscallError("XFS_IOC_FREE_EOFBLOCKS", errno)
	}
	return nil
}
