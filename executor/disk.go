package executor

import (
	"os"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/pulled"
	"gitlab-sysbox-executor/executor/room"
)

// Disk is how much of the engine's disk may outlive jobs. Times that are not positive
// and the zero Amount set no limit.
type Disk struct {
	KeepVolumes time.Duration // after the last use
	MostVolumes config.Amount // of all kept volumes
	VolumeSize  config.Amount // of each
	KeepImages  time.Duration // those that jobs pulled, after the last use
	MinFree     int64         // bytes: when less is free, what was unused longest goes
}

// Kept is the volumes with builds and caches that outlive their jobs.
func (x *Executor) Kept() *kept.Store {
	return &kept.Store{
		State: x.state(), Engine: x.Engine, Local: x.local(), Log: x.Log,
		Limits: kept.Limits{Keep: x.Disk.KeepVolumes, Total: x.Disk.MostVolumes, Each: x.Disk.VolumeSize, CacheMounts: x.CacheMounts},
	}
}

// pulled is the images that jobs pulled.
func (x *Executor) pulled() *pulled.Store {
	return &pulled.Store{State: x.state(), Engine: x.Engine, Keep: x.Disk.KeepImages, Log: x.Log}
}

// room keeps room free on the engine's disk.
func (x *Executor) room() *room.Keeper {
	return &room.Keeper{
		State: x.state(), Engine: x.Engine, Local: x.local(), Pulled: x.pulled(), Kept: x.Kept(),
		MinFree: x.Disk.MinFree, GC: x.GC, Log: x.Log,
	}
}

// local tells whether the engine may run on this machine.
func (x *Executor) local() bool { return strings.HasPrefix(x.Engine.Host(), "unix://") }

// exists tells whether there is something at the path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
