package cases

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// It builds and runs, with its data on
// the job's storage volume, and ends within ten seconds.
func TestDockerInTheJob(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "docker", builtContext(), pages.Commands(t, "docs/cases/docker.md", "dockerd")+" || { cat dockerd.log; exit 1; }",
		pages.Commands(t, "docs/cases/docker.md", "findmnt"),
		"ls -d /var/lib/containers/docker/overlay2",
		"docker run --detach --interactive --init built sh -c 'read line' >/dev/null",
		`before=$(date +%s); kill %1; wait %1 || true; took=$(($(date +%s) - before))`,
		`[ $took -le 10 ] && echo stopped in time || echo "stopped in $took s"`)
	harness.WantLines(t, p.Succeed(t, j), "ran: a step with /bin/sh", "overlay2 in /var/lib/docker", "/var/lib/containers/docker/overlay2", "stopped in time")
}

// An inner Docker engine as a service like docker:dind: without TLS, its
// data on the job's storage volume, and with the certificates that it makes for its
// clients. Nothing is configured.
func TestDockerAsService(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	for name, c := range harness.SomeOf(1, map[string]struct {
		variables []runner.Variable
		command   []string // of the service
		folder    string   // its data, if not its own choice
	}{
		"plain": {
			[]runner.Variable{runner.Var("DOCKER_HOST", "tcp://docker:2375"), runner.Var("DOCKER_TLS_CERTDIR", "")},
			[]string{"--data-root=/var/lib/containers/dind"}, "/var/lib/containers/dind/overlay2",
		},
		"TLS": {variables: []runner.Variable{
			runner.Var("DOCKER_HOST", "tcp://docker:2376"), runner.Var("DOCKER_TLS_CERTDIR", "/certs"),
			runner.Var("DOCKER_TLS_VERIFY", "1"), runner.Var("DOCKER_CERT_PATH", "/certs/client"),
		}},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := harness.With(harness.Job(t, "docker", builtContext(),
				"timeout 60 sh -c 'until docker version >version.log 2>&1; do sleep 0.2; done' || { cat version.log; exit 1; }",
				"docker build --tag built context", "docker run --rm built",
				"docker run --detach --interactive built sh -c 'read line' >/dev/null", // as first process it is deaf to TERM
				"echo as $(docker info --format '{{.Driver}}')",
			), c.variables...)
			j.Services = []runner.Image{{Name: harness.Image(t, "dind"), Alias: "docker", PullPolicies: []string{"if-not-present"}, Command: c.command}}
			want := []string{"ran: a step with /bin/sh", "as overlay2"}
			if c.folder != "" {
				j.Script = append(j.Script, "ls -d "+c.folder)
				want = append(want, c.folder)
			}
			r := p.Succeed(t, j)
			harness.WantLines(t, r, want...)
			if took := r.Call("cleanup").Duration; took > 10*time.Second {
				t.Errorf("cleanup took %s\n%s", took, r)
			}
		})
	}
}
