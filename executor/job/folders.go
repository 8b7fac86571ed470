package job

// Folders are the job's folders as its scripts see them, and how long they last.
type Folders struct {
	Builds string
	Cache  string
	// Temp is where the Runner's scripts put file variables, below Builds; each job
	// gets it empty. It may be empty for none.
	Temp string

	// KeepBuilds hands Builds on to the next job of the same Runner, project,
	// slot and protection; KeepCache shares Cache among the jobs of the same
	// project and protection.
	KeepBuilds, KeepCache bool
	// Slot is one that no other job of the Runner's has in this project meanwhile.
	Slot int64
	// Protected jobs, those on protected refs, share nothing with others.
	Protected bool
	// KeepCacheMounts shares cache mounts of image builds among the jobs of the same
	// project, apart as builds are for protected refs; else each job has its own.
	KeepCacheMounts bool
}
