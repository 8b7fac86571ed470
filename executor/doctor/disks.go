package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/storage"
)

// fileSystems are the names of file systems by their numbers (statfs(2)).
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "NFS",
	unix.F2FS_SUPER_MAGIC: "F2FS", unix.FUSE_SUPER_MAGIC: "FUSE", 0x2fc12fc1: "ZFS", 0xca451a4e: "bcachefs",
}

// fileSystem is the name of the file system of a folder.
func fileSystem(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "an unknown file system", err
	}
	if name := fileSystems[int64(s.Type)]; name != "" {
		return name, nil
	}
	return fmt.Sprintf("file system %#x", int64(s.Type)), nil
}

// described is a disk in a message.
func described(dir string) (text string, shares bool) {
	kind, _ := fileSystem(dir)
	shares = storage.SharesBlocks(dir) == nil
	text = kind + " without reflinks"
	if shares {
		text = kind + " with reflinks"
	}
	return text, shares
}

// storageHost is what the choice of a backend sees. No folder is made for it.
func (m *Machine) storageHost(ctx context.Context) storage.Host {
	h := storage.Host{Folder: existing(m.Volumes)}
	if root := m.engineFolder(ctx); root != "" {
		h.Volumes = existing(filepath.Join(root, "volumes"))
	}
	return h
}

// Backends returns the backend of storage volumes that jobs get, and the others that can work here.
func (m *Machine) Backends(ctx context.Context) (configured string, others []string, err error) {
	h := m.storageHost(ctx)
	b, _, err := storage.Choose(m.Config.Storage.Backend, h)
	if err != nil {
		return "", nil, err
	}
	for _, name := range []string{storage.XFSLoop, storage.Plain, storage.Tmpfs} {
		if _, _, err := storage.Choose(name, h); err == nil && name != b.Name() {
			others = append(others, name)
		}
	}
	return b.Name(), others, nil
}

// checkStorage chooses the backend of the jobs' storage volumes as a job does.
func checkStorage(ctx context.Context, m *Machine) []Finding {
	if _, err := m.engineInfo(ctx); err != nil {
		return nil // reported by the check of the engine
	}
	h := m.storageHost(ctx)
	b, why, err := storage.Choose(m.Config.Storage.Backend, h)
	if err != nil {
		return found(Error, err.Error(), "remove the cause, or set storage.backend = \"auto\" in "+m.ConfigPath+" (docs/storage.md)")
	}
	if b.Name() != storage.Plain {
		return ok("%s, %s for each job", b.Name(), m.Config.Storage.Size)
	}
	text, shares := "an unknown disk", false
	if h.Volumes != "" {
		text, shares = described(h.Volumes)
	}
	next := "install xfsprogs, so that each job has an XFS of its own (docs/storage.md)"
	if _, _, err := storage.Choose(storage.XFSLoop, h); err == nil {
		next = "set storage.backend = \"auto\" in " + m.ConfigPath + " (docs/storage.md)"
	} else if m.findProgram("mkfs.xfs") != "" {
		next = fmt.Sprintf("make xfs-loop work (%v), or accept volumes without a limit (docs/storage.md)", err)
	}
	if shares {
		return found(Warning, fmt.Sprintf("volumes of the engine on %s: a job can fill the disk (%s)", text, why), next)
	}
	return found(Warning, fmt.Sprintf("volumes of the engine on %s: vfs copies each layer in full, and a job can fill the disk (%s)", text, why), next)
}

// checkVolumeDisk asks whether a job would be admitted now.
func checkVolumeDisk(ctx context.Context, m *Machine) []Finding {
	b, _, err := storage.Choose(m.Config.Storage.Backend, m.storageHost(ctx))
	if err != nil {
		return nil // reported by the check of the storage
	}
	pool, known, err := b.Pool()
	switch {
	case err != nil:
		return found(Error, fmt.Sprintf("the disk of the storage volumes cannot be read: %v", err), "look at "+m.Volumes)
	case !known:
		return found(Note, "the disk of the storage volumes is not visible from here", "run doctor on the engine's machine")
	}
	return m.room(pool, "a job's storage volume", int64(m.Config.Storage.Size))
}

// checkEngineDisk looks at the disk of images, layers and logs.
func checkEngineDisk(ctx context.Context, m *Machine) []Finding {
	root := m.engineFolder(ctx)
	if root == "" {
		if _, err := m.engineInfo(ctx); err != nil {
			return nil
		}
		return found(Note, "the engine's files are not visible from here: there is no storage with a limit, and no check of its disk",
			"run the Runner on the engine's machine, with the engine's socket (docs/engine.md)")
	}
	pool, err := storage.DiskPool(root)
	if err != nil {
		return found(Error, err.Error(), "look at "+root)
	}
	return m.room(pool, "images, logs and folders of jobs", 0)
}

// room applies the rule by which jobs are admitted.
func (m *Machine) room(pool storage.Pool, what string, size int64) []Finding {
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	running, err := storage.Claims(m.state().Jobs(), "", quiet)
	if err != nil {
		running = nil // no job has run yet
	}
	least := int64(m.Config.Storage.MinFree)
	err = storage.Admission{Pool: pool, MinFree: least, Overcommit: m.Config.Storage.Overcommit, Running: running}.Admit(what, size)
	if no, full := errors.AsType[*storage.NoRoom](err); full {
		return found(Error, no.Error()+": no job starts",
			"gitlab-sysbox-executor gc; then remove what else fills "+pool.Name+" (docker system df, du -xsh), or lower storage.min_free in "+m.ConfigPath)
	} else if err != nil {
		return found(Error, err.Error(), "look at "+pool.Name)
	}
	text := fmt.Sprintf("%s free in %s", format.Bytes(pool.Free), pool.Name)
	if pool.Size > 0 {
		disk, _ := described(pool.Name)
		text = fmt.Sprintf("%s of %s free in %s, %s", format.Bytes(pool.Free), format.Bytes(pool.Size), pool.Name, disk)
	}
	if pool.Free < least+least/2 {
		return found(Warning, fmt.Sprintf("%s: little more than storage.min_free, %s, below which no job starts", text, m.Config.Storage.MinFree), "make room, or gitlab-sysbox-executor gc")
	}
	if pool.Inodes > 0 && pool.FreeInodes < pool.Inodes/10 {
		return found(Warning, fmt.Sprintf("%s: %d of %d inodes are free, and below 5%% no job starts", text, pool.FreeInodes, pool.Inodes), "remove small files there")
	}
	return ok("%s", text)
}
