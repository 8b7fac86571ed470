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
	// MostVolumes is how much disk those volumes may have together; any amount
	// when it is 0.
	MostVolumes Size `toml:"most_volumes"`
}

func defaultGC() GC {
	return GC{Interval: Duration(time.Hour), KeepVolumes: Duration(30 * 24 * time.Hour)}
}

func (g *GC) check(k *checker) {
	if g.MostVolumes < 0 {
		k.bad("gc.most_volumes", `%s is no amount; write for example "100GiB", or 0 for any`, g.MostVolumes)
	}
}
