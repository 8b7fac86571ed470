package job

// Volume are the settings of a job's storage volume. Sizes are in bytes.
type Volume struct {
	Backend    string // a backend of package storage, or storage.Auto
	Folder     string // on the host, for file system images
	Size       int64
	MinFree    int64   // space that admission keeps free on the host
	Overcommit float64 // divides the size that sparse volumes may grow to
	// Overlay asks for native overlay instead of vfs, if it works.
	Overlay bool
	// MostKept is the size above which the volume is not kept for the project's next job.
	MostKept int64
}
