package config

import "time"

// GC is the removal of what belongs to no running job.
type GC struct {
	// Interval is the least time between two that prepare starts; none when it is
	// not positive.
	Interval Duration `toml:"interval"`
	// KeepVolumes is how long a volume with builds or caches is kept after its
	// last use; for ever when it is not positive.
	KeepVolumes Duration `toml:"keep_volumes"`
	// MostVolumes is how much disk those volumes may have together, VolumeSize how
	// much each. A share is of the disk with the engine's data root.
	MostVolumes Amount `toml:"most_volumes"`
	VolumeSize  Amount `toml:"volume_size"`
	// KeepImages is how long an image that a job pulled is kept after its last use;
	// for ever, unless the disk runs low, when it is not positive.
	KeepImages Duration `toml:"keep_images"`
}

func defaultGC() GC {
	const days = Duration(24 * time.Hour)
	return GC{
		Interval: Duration(time.Hour), KeepVolumes: 30 * days, KeepImages: 30 * days,
		MostVolumes: Amount{Percent: 20}, VolumeSize: Amount{Percent: 10},
	}
}

func (g *GC) check(*checker) {} // all that can be read is possible
