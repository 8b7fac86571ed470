package config

import "time"

// GC is the removal of resources that belong to no running job.
type GC struct {
	// Interval is the shortest time between two that prepare starts; if it is not positive,
	// prepare starts none.
	Interval Duration `toml:"interval"`
	// KeepVolumes is how long a volume with builds or caches is kept after its last use; if
	// it is not positive, for ever.
	KeepVolumes Duration `toml:"keep_volumes"`
	// MostVolumes limits the disk space of all those volumes, VolumeSize that of each. A
	// percentage refers to the disk with the engine's data root.
	MostVolumes Amount `toml:"most_volumes"`
	VolumeSize  Amount `toml:"volume_size"`
	// KeepImages is how long an image that a job pulled is kept after its last use. If it is
	// not positive, the image is kept until disk space runs low.
	KeepImages Duration `toml:"keep_images"`
}

func defaultGC() GC {
	const days = Duration(24 * time.Hour)
	return GC{
		Interval: Duration(time.Hour), KeepVolumes: 30 * days, KeepImages: 30 * days,
		MostVolumes: Amount{Percent: 20}, VolumeSize: Amount{Percent: 10},
	}
}

func (g *GC) check(*checker) {} // every readable value is possible
