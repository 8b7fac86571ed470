package jobcontainer

import (
	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
	"slices"
	"testing"
)

// Mounts of the administrator at an engine's folder stay.
func TestEngineFolders(t *testing.T) {
	for name, c := range map[string]struct {
		mounts []string
		tmpfs  []string
		want   []string
	}{
		"free":     {nil, nil, []string{"/var/lib/docker", "/var/lib/buildkit"}},
		"a volume": {[]string{"/var/lib/docker"}, nil, []string{"/var/lib/buildkit"}},
		"below":    {[]string{"/var/lib/docker/volumes"}, nil, []string{"/var/lib/buildkit"}},
		"memory":   {nil, []string{"/var/lib/buildkit:size=1g"}, []string{"/var/lib/docker"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, b := range engineFolders(job.Plan{Container: config.Container{Tmpfs: c.tmpfs}}, c.mounts) {
				got = append(got, b.To)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
