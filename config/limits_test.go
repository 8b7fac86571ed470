package config

import (
	"slices"
	"testing"
)

// Without a file one job cannot take all processes of the host, start any number of
// services, or fill the disk with a container's log.
func TestLimitsByDefault(t *testing.T) {
	cfg := Default()
	if got := cfg.Resources.PidsLimit; got != 16384 {
		t.Errorf("resources.pids_limit is %d", got)
	}
	if got := cfg.ServiceResources().PidsLimit; got != 16384 {
		t.Errorf("a service may have %d processes", got)
	}
	if cfg.Services.Limit != 20 {
		t.Errorf("services.limit is %d", cfg.Services.Limit)
	}
	if want := []string{"max-size=10m", "max-file=3"}; !slices.Equal(cfg.Container.LogOptions, want) || !cfg.Container.DefaultLog() {
		t.Errorf("container.log_options is %q", cfg.Container.LogOptions)
	}
}

// Each of them can be lifted.
func TestLimitsLifted(t *testing.T) {
	for _, tt := range []struct {
		text         string
		job, service int64
	}{
		{"resources.pids_limit = 0", 0, 0},
		{"resources.pids_limit = -1", -1, -1},
		{"services.resources.pids_limit = 0", 16384, 16384},
		{"services.resources.pids_limit = -1", 16384, -1},
		{"services.resources.pids_limit = 5", 16384, 5},
	} {
		cfg, err := parse("c.toml", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Resources.PidsLimit != tt.job || cfg.ServiceResources().PidsLimit != tt.service {
			t.Errorf("%s: %d and %d", tt.text, cfg.Resources.PidsLimit, cfg.ServiceResources().PidsLimit)
		}
	}
	cfg, err := parse("c.toml", "services.limit = -1\ncontainer.log_options = []")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Services.Limit != -1 || len(cfg.Container.LogOptions) != 0 || cfg.Container.DefaultLog() {
		t.Errorf("%+v %+v", cfg.Services, cfg.Container)
	}
}
