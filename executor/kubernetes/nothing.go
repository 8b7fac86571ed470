package kubernetes

import (
	"context"

	"gitlab-sysbox-executor/executor/job"
)

// Nothing is kept for later jobs, and the kubelet keeps the space of nodes free: it implements executor.Kept and
// executor.Room.
type Nothing struct{}

// After implements executor.Kept.
func (Nothing) After(context.Context, job.Identity) {}

// ForgetTemps implements executor.Kept.
func (Nothing) ForgetTemps(string) {}

// FinishDisk implements executor.Kept.
func (Nothing) FinishDisk(string, job.Disk) error { return nil }

// Watch implements executor.Room.
func (Nothing) Watch(context.Context, string, func(error)) (stop func()) { return func() {} }
