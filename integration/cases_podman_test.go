package integration

import (
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/integration/runner"
)

// cacheContext writes a Dockerfile that starts from nothing but a static busybox
// and whose last step uses a cache mount, so that it tells what was there before.
func cacheContext(mark string) string {
	return lines(
		"mkdir -p context",
		"cp /bin/busybox context/",
		"cat >context/Dockerfile <<'END'",
		"FROM scratch",
		"COPY busybox /bin/busybox",
		`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
		"ARG TURN",
		"RUN --mount=type=cache,target=/var/cache/test echo \"before $TURN: [$(cat /var/cache/test/mark 2>/dev/null)]\" && echo "+mark+" >/var/cache/test/mark",
		"CMD echo in the built image",
		"END",
	)
}

// Issue 6, Podman: build and run without any flag.
func TestPodmanBuildsAndRuns(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildah", "buildah-trixie"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			j := job(t, name, cacheContext("x"),
				"podman build --quiet --tag built context",
				`echo "ran: $(podman run --rm built)"`,
				`echo "bare: $(env -i HOME="$HOME" PATH="$PATH" podman run --rm built)"`,
				`[ "$(podman run --rm built sh -c 'ulimit -Hn')" = "$(ulimit -Hn)" ] && echo same limit`)
			wantLines(t, p.succeed(t, j), "ran: in the built image", "bare: in the built image", "same limit")
		})
	}
}

// As another user of the image Podman builds. (To run needs a procfs and sysfs that
// Sysbox lets nobody mount in a user namespace below the container's.)
func TestPodmanBuildsRootless(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "buildah", cacheContext("x"), "podman build --tag built --build-arg TURN=first context")
	j.Image.User = "builder"
	wantLines(t, p.succeed(t, j), "before first: []")
}

// Issue 6, Podman: parallel jobs of one project with one Dockerfile see nothing
// of each other's cache mounts, in local builds and in remote ones; a job's second
// build sees its own.
func TestCacheMountsOfParallelJobs(t *testing.T) {
	t.Parallel()
	builds := map[string][]string{
		"buildah": {"buildah build --build-arg TURN=first context", "buildah build --build-arg TURN=second context"},
		"podman remote": {
			lines("podman system service --time 0 unix:///tmp/podman.sock &",
				"for i in $(seq 100); do podman --remote --url unix:///tmp/podman.sock version >/dev/null 2>&1 && break; sleep 0.2; done"),
			// The client's TMPDIR does not reach the server.
			"TMPDIR=/tmp podman --remote --url unix:///tmp/podman.sock build --build-arg TURN=first context",
			"TMPDIR=/tmp podman --remote --url unix:///tmp/podman.sock build --build-arg TURN=second context",
			`ls -d "$TMPDIR"/buildah-cache* >/dev/null && echo cache below TMPDIR`,
		},
	}
	for name, script := range builds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup
			results := make([]*runner.Result, 2)
			for n, mark := range []string{"one", "two"} {
				p := newPlace(t, settings{})
				j := job(t, "buildah", append([]string{cacheContext(mark)}, script...)...)
				wg.Go(func() { results[n] = p.runner.Play(j) })
			}
			wg.Wait()
			for n, mark := range []string{"one", "two"} {
				r := results[n]
				if r.Outcome != runner.Success {
					t.Fatal(r)
				}
				wantLines(t, r, "before first: []", "before second: ["+mark+"]")
				if strings.HasPrefix(name, "podman") {
					wantLines(t, r, "cache below TMPDIR")
				}
			}
		})
	}
}

// Issue 6, Podman: the same with Podman as a service of the job's.
func TestPodmanAsService(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "buildah", cacheContext("mine"),
		"for i in $(seq 100); do podman --remote --url tcp://podman:8080 version >/dev/null 2>&1 && break; sleep 0.2; done",
		"podman --remote --url tcp://podman:8080 build --tag built --build-arg TURN=first context",
		"podman --remote --url tcp://podman:8080 build --tag built --build-arg TURN=second context",
		`ls -d "$TMPDIR"/buildah-cache* >/dev/null && echo cache below TMPDIR`,
		`echo "ran: $(podman --remote --url tcp://podman:8080 run --rm built)"`,
	)
	j.Services = []runner.Image{{
		Name: j.Image.Name, Alias: "podman", PullPolicies: []string{"if-not-present"},
		Command: []string{"podman", "system", "service", "--time", "0", "tcp:0.0.0.0:8080"},
	}}
	wantLines(t, p.succeed(t, j), "before first: []", "before second: [mine]", "cache below TMPDIR", "ran: in the built image")
}

// Issue 6, 2: a job without variables builds, pushes and, as root, runs what it pushed.
func TestBuildPushRun(t *testing.T) {
	t.Parallel()
	for user, run := range map[string]string{
		"root":    `echo "ran: $(podman run --rm --tls-verify=false 127.0.0.1:5000/built)"`,
		"builder": `c=$(buildah from --tls-verify=false 127.0.0.1:5000/built) && echo "ran: $(buildah run "$c" -- echo in the built image)"`,
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			j := job(t, "buildah-registry",
				lines(
					"printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:5000}\n' \"$TMPDIR/registry\" >registry.yml",
					"docker-registry serve registry.yml >registry.log 2>&1 &",
					"until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done",
				),
				cacheContext("x"),
				"buildah build --tag 127.0.0.1:5000/built context",
				"buildah push --tls-verify=false 127.0.0.1:5000/built",
				"buildah rmi --all --force",
				run,
			)
			j.Image.User = user
			wantLines(t, p.succeed(t, j), "ran: in the built image")
		})
	}
}
