package job

// Volume is what a job's storage volume is to be like. Sizes are bytes.
type Volume struct {
	Backend    string // one of storage's, or storage.Auto
	Folder     string // on the host, for images of file systems
	Size       int64
	MinFree    int64   // what admission leaves free on the host
	Overcommit float64 // what sparse volumes may grow to is divided by it
	// Overlay asks for native overlay in place of vfs, where it works.
	Overlay bool
}
