package config

// Builds is the folder in which jobs check out their project.
type Builds struct {
	// Keep passes it on to the next job of the same Runner, project and slot.
	Keep bool `toml:"keep"`
}

func defaultBuilds() Builds { return Builds{Keep: true} }

func (b *Builds) check(*checker) {}

// Cache is the folder in which the Runner stores the files that jobs list under cache:.
type Cache struct {
	// Keep shares it between the jobs of a project.
	Keep bool `toml:"keep"`
}

func defaultCache() Cache { return Cache{Keep: true} }

func (c *Cache) check(*checker) {}
