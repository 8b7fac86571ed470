package cases

import (
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Root's builds use isolation rootless if its trial succeeds in the job's container. Builds of other users, of images
// without a runtime that works, and of jobs with a choice of their own do not.
func TestIsolationOfBuilds(t *testing.T) {
	t.Parallel()
	build := []string{
		`echo "isolation $BUILDAH_ISOLATION"`, builtContext(), "buildah build --quiet --tag built context >/dev/null && echo built",
		`[ "$(find /var/lib/containers -maxdepth 1 -name '.run-*')" ] || echo nothing is left`,
	}
	const kept = "Builds use isolation chroot, which may lose the output of RUN lines, because rootless does not work here: "
	for name, c := range harness.SomeOf(4, map[string]struct {
		user, configured string
		entrypoint       []string
		variables        []runner.Variable
		isolation        string
		said             string
	}{
		"root":          {isolation: "rootless"},
		"another user":  {user: "builder", isolation: "chroot", said: kept + "it works for root only"},
		"broken crun":   {entrypoint: []string{"sh", "-c", `printf '#!/bin/sh\necho broken >&2\nexit 1\n' >/usr/bin/crun; exec "$@"`, "--"}, isolation: "chroot", said: kept + "buildah build: "},
		"the job's own": {variables: []runner.Variable{runner.Var("BUILDAH_ISOLATION", "chroot")}, isolation: "chroot"},
		"configured":    {configured: "chroot", isolation: "chroot"},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := harness.Settings{}
			if c.configured != "" {
				s.Other = "[storage]\nisolation = \"" + c.configured + "\"\n"
			}
			j := harness.With(harness.Job(t, "buildah", build...), c.variables...)
			j.Image.User, j.Image.Entrypoint = c.user, c.entrypoint
			r := harness.NewPlace(t, s).Succeed(t, j)
			harness.WantLines(t, r, "isolation "+c.isolation, "built", "nothing is left")
			log := r.Log.String()
			if c.said == "" && strings.Contains(log, kept) || !strings.Contains(log, c.said) {
				t.Errorf("want %q in the log:\n%s", c.said, log)
			}
		})
	}
}

// With the default of root, RUN lines have what they have with isolation chroot.
func TestRunLinesOfRoot(t *testing.T) {
	t.Parallel()
	for _, image := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, image, `echo "isolation $BUILDAH_ISOLATION"`,
				"echo hunter2 >token", "until getent hosts web >/dev/null; do sleep 0.1; done",
				harness.BusyboxContext(
					"COPY address /address",
					`RUN echo "limit $(ulimit -Sn) $(ulimit -Hn)"; echo "services $(nslookup web | grep -c "$(cat /address)")"; echo 'me:x:1234:1234::/:/bin/sh' >/etc/passwd`,
					`RUN --mount=type=secret,id=token echo "secret of $(wc -c </run/secrets/token) bytes"`,
					"ARG TURN",
					`RUN --mount=type=cache,target=/cache echo "cache of $TURN: $(cat /cache/mark 2>/dev/null || echo empty)"; echo marked >/cache/mark`,
					"USER me",
					`RUN echo "user $(id -u)"`),
				"getent hosts web | cut -d' ' -f1 >context/address",
				`for turn in first second; do buildah build --layers --secret id=token,src=token --build-arg TURN=$turn --tag built context; done`,
				`[ "$(buildah run --network none "$(buildah from built)" ip -o link | grep -c eth0)" = 0 ] && echo no network`,
				`buildah run --network host "$(buildah from built)" ip -o link | grep -q eth0 && echo the network of the job`,
				"podman build --tag again --build-arg TURN=third --secret id=token,src=token context >podman.log 2>&1 && grep '^user ' podman.log | sed 's/^/podman: /'",
			)
			j.Timeout = 15 * time.Minute // it has many RUN lines, and the machine may be busy
			j.Services = []runner.Image{harness.ShellService(t, "web", harness.Stay)}
			p := harness.NewPlace(t, harness.Settings{Other: "[resources]\nulimits = [\"nofile=5000:6000\"]\n"})
			harness.WantLines(t, p.Succeed(t, j), "isolation rootless", "cache of first: empty", "cache of second: marked", "secret of 8 bytes",
				"limit 6000 6000", "services 1", "user 1234", "no network", "the network of the job", "podman: user 1234")
		})
	}
}
