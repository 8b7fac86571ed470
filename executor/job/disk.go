package job

import "time"

// Disk describes a storage volume that outlives its jobs, as plain data: its disk image is kept.
type Disk struct {
	// The jobs that get the disk are those of the same server, project and protection.
	Server    string `json:"server"`
	Project   int64  `json:"project"`
	Protected bool   `json:"protected"`
	// Runner and Slot, as in Folders, distinguish the disks of jobs that run at the same time.
	Runner int64 `json:"runner"`
	Slot   int64 `json:"slot"`

	Limit  int64  `json:"limit"`  // size of the file system in bytes
	Base   int64  `json:"base"`   // bytes that the empty file system needs
	Driver string `json:"driver"` // of containers/storage
	// Generation is that of the shared images on which the disk's images are based; empty if there is none.
	Generation string `json:"generation,omitempty"`
	// Tools are the versions of the tools that used the disk, by command.
	Tools  map[string]string `json:"tools,omitempty"`
	Images int               `json:"images"`
	// LastUse is the end of the last job; zero if the disk is new.
	LastUse time.Time `json:"last_use,omitzero"`
}

// New reports whether no job has used the disk before.
func (d Disk) New() bool { return d.LastUse.IsZero() }
