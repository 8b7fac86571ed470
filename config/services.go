package config

import "time"

// Services configures a job's service containers.
type Services struct {
	// WaitTimeout bounds the wait until all services together are ready; if it is not
	// positive, the job does not wait.
	WaitTimeout Duration `toml:"wait_timeout"`
	// StopGrace is the time between the signal that asks a service to stop and the one that
	// kills it, when the job is over; 0 kills it at once.
	StopGrace Duration `toml:"stop_grace"`
	// Limit is the largest number of services of one job; -1 sets no limit.
	Limit int64 `toml:"limit"`
	// Runtime is the engine's name of their OCI runtime; "" uses the jobs' own.
	Runtime string `toml:"runtime"`
	// DebugLogs lets a job show its services' logs with CI_DEBUG_SERVICES.
	DebugLogs bool `toml:"debug_logs"`
	// Tmpfs lists "path" or "path:options".
	Tmpfs []string `toml:"tmpfs"`
	// Resources limit each service; a missing value is that of the jobs' own table.
	Resources Resources `toml:"resources"`
}

func defaultServices() Services {
	return Services{
		// GitLab's own default: https://docs.gitlab.com/runner/configuration/advanced-configuration/ (wait_for_services_timeout).
		WaitTimeout: Duration(30 * time.Second),
		Limit:       20,
		DebugLogs:   true,
		Tmpfs:       []string{},
		Resources:   Resources{Ulimits: []string{}}, // all from the jobs' own table
	}
}

// longestStopGrace bounds services.stop_grace: a cleanup has to end.
const longestStopGrace = 10 * time.Second

func (c *Config) checkServices(k *checker) {
	s := &c.Services
	if grace := time.Duration(s.StopGrace); grace < 0 || grace > longestStopGrace || grace%time.Second != 0 {
		k.bad("services.stop_grace", "%s is not a number of whole seconds between 0s and %s; write for example \"2s\", or \"0s\" to kill services at once", grace, longestStopGrace)
	}
	if s.Limit < -1 {
		k.bad("services.limit", "%d is not a number of services; write for example 5, or -1 for no limit", s.Limit)
	}
	if s.Runtime != "" {
		k.runtime("services.runtime", s.Runtime)
	}
	k.tmpfs("services.tmpfs", s.Tmpfs, c.Container.Volumes)
	s.Resources.check(k, "services.resources")
}

// ServiceRuntime is the runtime of service containers.
func (c *Config) ServiceRuntime() string {
	if c.Services.Runtime != "" {
		return c.Services.Runtime
	}
	return c.Runtime
}

// ServiceResources are the limits of one service container.
func (c *Config) ServiceResources() Resources { return c.Services.Resources.over(c.Resources) }
