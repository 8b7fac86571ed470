package journal

import (
	"time"

	"gitlab-sysbox-executor/executor/owner"
)

// Kept says how long a job's resources stay after the job.
type Kept struct {
	// By is the process that ended the job. It was described when the time began.
	By  owner.Process `json:"by"`
	For time.Duration `json:"for"`
}

// Left returns how long the resources still stay; zero if k is nil or the time is over. The time is that since the
// machine's start: a restart ends the containers, and the time.
func (k *Kept) Left() time.Duration {
	if k == nil {
		return 0
	}
	age, known := k.By.Age()
	if !known {
		return 0
	}
	return max(0, k.For-max(0, age))
}

// Keep records that the job's resources stay for a time.
func (j *Journal) Keep(by owner.Process, d time.Duration) error {
	return j.change(func(f *Content) { f.Kept = &Kept{By: by, For: d} })
}
