package docker

import (
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// The author of a job can only choose a plain folder, and none over another mount.
func TestShareCertificates(t *testing.T) {
	for name, c := range map[string]struct {
		image, job string // what they set DOCKER_TLS_CERTDIR to
		volumes    []string
		want       []string
	}{
		"nobody":             {"", "", nil, nil},
		"the image":          {"/certs", "-", nil, []string{"/certs"}},
		"the job":            {"", "/my/certs/", nil, []string{"/my/certs"}},
		"the job says none":  {"/certs", "", nil, nil},
		"relative":           {"", "certs", nil, nil},
		"a volume's syntax":  {"", "/etc:/certs", nil, nil},
		"everything":         {"", "/", nil, nil},
		"upwards":            {"", "/x/../proc", nil, nil},
		"the kernel's":       {"", "/sys/certs", nil, nil},
		"over the agent":     {"", "/opt", nil, nil},
		"the storage volume": {"", "/var/lib/containers/certs", nil, nil},
		"the builds":         {"", "/builds/certs", nil, nil},
		"configured":         {"/certs", "-", []string{"/certs/client"}, []string{"/certs/client"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := job.Service{}
			if c.job != "-" {
				s.Environment = []string{"DOCKER_TLS_CERTDIR=" + c.job}
			}
			m := &made{Plan: job.Plan{Services: []job.Service{s, s}, Container: config.Container{Volumes: c.volumes}, Folders: job.Folders{Builds: "/builds", Cache: "/cache"}}}
			img := engine.Image{Env: []string{"DOCKER_TLS_CERTDIR=" + c.image}}
			mounts, own := m.shares([]engine.Image{img, img}, engine.Mount{Target: agent.Dir})
			var got []string
			for _, mount := range mounts {
				if strings.Contains(mount.Source, "-shared-") {
					got = append(got, mount.Target)
				}
			}
			if !slices.Equal(got, c.want) || len(own) != 2+len(c.want) { // builds and cache also count
				t.Errorf("got %q, want %q; %d volumes", got, c.want, len(own))
			}
		})
	}
}
