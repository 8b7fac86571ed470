package job

// Folders are the job's folders as its scripts see them, and how long they are kept.
type Folders struct {
	Builds string
	Cache  string
	// Temp is where the Runner's scripts put file variables, below Builds. It is empty
	// at the start of each job. There may be none.
	Temp string

	// KeepBuilds keeps Builds for the next job of the same Runner, project, slot and
	// protection. KeepCache shares Cache among the jobs of the same project and
	// protection.
	KeepBuilds, KeepCache bool
	// Slot is used by only one job of the Runner in this project at a time.
	Slot int64
	// Protected jobs run on protected refs. They share nothing with other jobs.
	Protected bool
	// KeepCacheMounts shares the cache mounts of image builds among the jobs of the same
	// project and protection. Otherwise each job has its own.
	KeepCacheMounts bool
	// KeepStorage keeps the storage volume for the next job of the same project and
	// protection.
	KeepStorage bool
}
