package config

import "time"

// Cleanup is the removal of a job's resources.
type Cleanup struct {
	// Timeout bounds the whole removal; gc removes the leftovers.
	Timeout Duration `toml:"timeout"`
}

func defaultCleanup() Cleanup {
	return Cleanup{Timeout: Duration(2 * time.Minute)}
}

func (c *Cleanup) check(k *checker) {
	k.positive("cleanup.timeout", c.Timeout, "2m")
}
