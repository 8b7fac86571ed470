package config

import "time"

// Services is how a job's service containers are treated.
type Services struct {
	// WaitTimeout is how long a service may take to accept connections; a
	// negative time means that nobody waits.
	WaitTimeout Duration `toml:"wait_timeout"`
}

func defaultServices() Services {
	// GitLab's own default: https://docs.gitlab.com/runner/configuration/advanced-configuration/ (wait_for_services_timeout).
	return Services{WaitTimeout: Duration(30 * time.Second)}
}

func (s *Services) check(*checker) {}
