package executor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// guardDisk records that the job's disk must not be kept, until the returned function gets an outcome that says
// that the script ended in order. If this process is killed, the record stays.
func (x *Executor) guardDisk(i job.Identity, e job.Environment, stage string) (inOrder func(agent.Outcome)) {
	name := i.Name()
	if e.Disk == nil || x.Dir.Spoiled(name) != "" {
		return func(agent.Outcome) {}
	}
	x.spoil(i, fmt.Sprintf("the script of %s did not end in order", stage))
	return func(o agent.Outcome) {
		switch {
		case o.Nonce == "": // the driver knows no outcome
		case o.Killed || len(o.Survivors) > 0:
			x.spoil(i, fmt.Sprintf("processes of %s had to be killed", stage))
		case o.Usage != nil && slices.Contains(o.Usage.Full, storage.Mountpoint):
			x.spoil(i, "it was full")
		default:
			if err := x.Dir.Unspoil(name); err != nil {
				x.Log.Debugf("kept storage volume: %v", err) // then it is not kept
			}
		}
	}
}

// spoil records why the job's disk is not kept.
func (x *Executor) spoil(i job.Identity, reason string) {
	if err := x.Dir.Spoil(i.Name(), reason); err != nil {
		x.Log.Warnf("Could not record that the storage volume must not be kept: %v", err)
	}
}

// SpoilDisk keeps a disk from the project's next job because this job found it damaged.
func (x *Executor) SpoilDisk(i job.Identity, e job.Environment) {
	if e.Disk != nil {
		x.spoil(i, "its images are damaged")
	}
}

// keepDisk makes the job's disk ready for the project's next job, after the last script, which returned err.
func (x *Executor) keepDisk(ctx context.Context, i job.Identity, e job.Environment, err error) {
	reason := x.Dir.Spoiled(i.Name())
	switch {
	case reason != "":
	case err != nil:
		reason = err.Error()
	default:
		reason = x.finishDisk(ctx, i, e)
	}
	if reason != "" {
		x.Log.Infof("The storage volume is not kept for the project's next job: %s.", reason)
	}
}

// finishDisk returns the reason why the disk is not kept; empty if it is.
func (x *Executor) finishDisk(ctx context.Context, i job.Identity, e job.Environment) string {
	temps := []string{storage.ShortMountpoint + "/tmp"}
	if storage.OnVolume(e.TMPDIR) && !slices.Contains(temps, e.TMPDIR) {
		temps = append(temps, e.TMPDIR)
	}
	inside := x.Backend.Inside(e.Container, e.First, "the job's container")
	r, err := inside.Tidy(ctx, agent.TidyRequest{User: e.User, Init: e.Init, Volume: storage.Mountpoint, Temps: temps, Most: e.Disk.Base + e.MostKept})
	if err != nil {
		return err.Error()
	}
	s, err := storage.ReadState(x.Dir.Job(i.Name()))
	if err != nil {
		return err.Error()
	}
	used := max(0, s.Now()-e.Disk.Base)
	if used > e.MostKept {
		return fmt.Sprintf("it has %s, more than %s (storage.keep_size)", format.Bytes(used), format.Bytes(e.MostKept))
	}
	disk := *e.Disk
	disk.Images, disk.Tools = r.Images, map[string]string{}
	maps.Copy(disk.Tools, e.Disk.Tools)
	maps.Copy(disk.Tools, r.Versions)
	if err := x.Kept.FinishDisk(i.Name(), disk); err != nil {
		return err.Error()
	}
	x.Log.Infof("The storage volume is kept for the project's next job: %s, %d images (storage.keep).", format.Bytes(used), r.Images)
	return ""
}
