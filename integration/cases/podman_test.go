package cases

import (
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// cacheContext writes one whose last step uses a cache mount. The image's command prints
// what was there before. What the step itself prints Buildah may lose (docs/cases/buildah.md).
func cacheContext() string {
	return harness.BusyboxContext(
		"ARG TURN",
		"ARG MARK",
		`RUN --mount=type=cache,target=/var/cache/test echo "before $TURN: [$(cat /var/cache/test/mark 2>/dev/null)]" >/before && echo $MARK >/var/cache/test/mark`,
		"CMD cat /before && echo in the built image",
	)
}

// Build and run without any flag, as the container's root and as
// another user of the image.
func TestPodmanBuildsAndRuns(t *testing.T) {
	t.Parallel()
	for _, c := range harness.Some(1, harness.Pairs([]string{"buildah", "buildah-trixie"}, []string{"root", "builder"})...) {
		name, user := c[0], c[1]
		t.Run(name+" as "+user, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.Job(t, name, cacheContext(),
				"podman build --tag built --build-arg TURN=first context",
				`echo "ran: $(podman run --rm built | paste -sd " ")"`,
				`[ "$(podman run --rm built sh -c 'ulimit -Hn')" = "$(ulimit -Hn)" ] && echo same limit`,
				"cd context", pages.Commands(t, "docs/layers.md", "podman build")+" --build-arg TURN=second",
				`echo "again: $(podman run --rm "$CI_REGISTRY_IMAGE" | paste -sd " ")"`,
				pages.Commands(t, "docs/cases/podman.md", "podman info"),
				`echo "its own: $(podman run --rm built sh -c 'cat /proc/self/comm; ls /sys/class >/dev/null && touch /sys/mine 2>/dev/null || echo no writing')"`,
			)
			j = harness.With(j, runner.Var("CI_REGISTRY_IMAGE", "registry.example.com/project"))
			want := []string{"ran: before first: [] in the built image", "same limit", "again: before second: [] in the built image", "its own: cat", "no writing"}
			if user == "root" { // without the environment the two have one configuration
				j.Script = append(j.Script, `echo "bare: $(env -i HOME="$HOME" PATH="$PATH" podman run --rm built | paste -sd " ")"`)
				want = append(want, "bare: before first: [] in the built image")
			}
			j.Image.User = user
			harness.WantLines(t, p.Succeed(t, j), want...)
		})
	}
}

// Podman before 5.1 refuses a run root of more than 50 characters. One below TMPDIR may have a name of 40: in a job
// and in a service, for root, for another user, and after sudo.
func TestPodmanRunRootBelowTMPDIR(t *testing.T) {
	t.Parallel()
	name := func(start string) string { return start + strings.Repeat("x", 40-len(start)) }
	run := func(command, start, folder string) string {
		return harness.Lines(command+` --root "$TMPDIR/`+start+`-root" --runroot "$TMPDIR/`+name(start)+`" build --quiet --tag built `+folder+` >/dev/null`,
			`echo "`+start+`: $(`+command+` --root "$TMPDIR/`+start+`-root" --runroot "$TMPDIR/`+name(start)+`" run --rm built) $(ls -d "$TMPDIR/`+name(start)+`" | wc -l)"`)
	}
	for image, user := range harness.SomeOf(1, map[string]string{"escape": "builder", "escape-trixie": "root"}) {
		t.Run(image+" as "+user, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, image, harness.BusyboxContext(`CMD ["echo", "ran"]`),
				// Not at the same time: rootless Podman keeps the process ID of its pause process below TMPDIR,
				// and a job's containers share TMPDIR (docs/services.md).
				seen("service"),
				run("podman", "job", "context"),
				run("sudo podman", "sudo", "context"))
			s := harness.Service(t, image, "x", "sh", "-c", harness.Lines("mkdir -p /tmp/work && cd /tmp/work", harness.BusyboxContext(`CMD ["echo", "ran"]`),
				"{ "+run("podman", "service", "context"), `} >"$TMPDIR/half" 2>&1`, `mv "$TMPDIR/half" "$TMPDIR/service"`, "trap exit TERM", harness.Stay))
			j.Image.User, s.User = user, user
			j.Services = []runner.Image{s}
			harness.WantLines(t, harness.NewPlace(t, harness.Settings{}).Succeed(t, j), "job: ran 1", "sudo: ran 1", "service: ran 1")
		})
	}
}

// seen waits for a file of a service in TMPDIR and prints it.
func seen(name string) string {
	return `for i in $(seq 600); do [ -e "$TMPDIR/` + name + `" ] && break; sleep 0.1; done; cat "$TMPDIR/` + name + `"`
}

// Two jobs of one project that run at the same time, with one
// Dockerfile, see nothing of each other's cache mounts, in local builds and in
// remote ones; a job's second build sees its own. Remotely they lie below the
// job's TMPDIR, which the client does not forward.
func TestCacheMountsOfParallelJobs(t *testing.T) {
	t.Parallel()
	remote := func(url string) string {
		return harness.Lines("for i in $(seq 150); do podman --remote --url "+url+" version >/dev/null 2>&1 && break; sleep 0.2; done",
			"TMPDIR=/tmp podman --remote --url "+url+" build --tag built --build-arg TURN=$TURN --build-arg MARK=$MARK context",
			`ls -d "$TMPDIR"/buildah-cache* >/dev/null && echo cache below TMPDIR`,
			`echo "ran: $(podman --remote --url `+url+` run --rm built | paste -sd " ")"`)
	}
	for name, c := range harness.SomeOf(1, map[string]struct {
		build          string
		local, service bool
	}{
		"local": {local: true, build: harness.Lines("buildah build --tag built --build-arg TURN=$TURN --build-arg MARK=$MARK context",
			`echo "ran: $(cat "$(buildah mount "$(buildah from built)")/before") in the built image"`)},
		"in a job":  {build: "podman system service --time 0 unix:///tmp/podman.sock &\n" + remote("unix:///tmp/podman.sock")},
		"a service": {build: remote("tcp://podman:8080"), service: true},
	}) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			var jobs [2]*runner.Session
			for n := range jobs {
				j := harness.Job(t, "buildah", "true")
				j.ConcurrentID = n
				if c.service {
					s := harness.Service(t, "buildah", "podman", "podman", "system", "service", "--time=0", "tcp:0.0.0.0:8080")
					s.Variables = []runner.Variable{runner.Var("HEALTHCHECK_TCP_PORT", "8080")}
					j.Services = []runner.Image{s}
				}
				jobs[n] = p.Ready(t, j)
			}
			if a, b := jobs[0].Job, jobs[1].Job; a.ProjectID != b.ProjectID || a.ID == b.ID {
				t.Fatalf("jobs %d and %d of projects %d and %d", a.ID, b.ID, a.ProjectID, b.ProjectID)
			}
			for _, turn := range []string{"first", "second"} {
				var calls [2]*runner.Call
				var wg sync.WaitGroup
				for n, mark := range []string{"one", "two"} {
					wg.Go(func() {
						calls[n] = jobs[n].RunScript(t.Context(), runner.StageBuild, harness.Lines("#!/usr/bin/env bash", "set -e",
							"mkdir -p /tmp/work", "cd /tmp/work", "export TURN="+turn+" MARK="+mark, cacheContext(), c.build))
					})
				}
				wg.Wait()
				for n, mark := range []string{"one", "two"} {
					before := "before first: []"
					if turn == "second" {
						before = "before second: [" + mark + "]"
					}
					want := []string{"ran: " + before + " in the built image"}
					if !c.local {
						want = append(want, "cache below TMPDIR")
					}
					for _, line := range want {
						if calls[n].Err != nil || !calls[n].Output.Has(line) {
							t.Errorf("no line %q in\n%s", line, calls[n])
						}
					}
				}
			}
		})
	}
}

// A job without variables builds what its repository holds, pushes it
// and runs what it pushed.
func TestBuildPushRun(t *testing.T) {
	t.Parallel()
	g := harness.NewGitLab(t)
	sha := g.Commit(t, "group/project", map[string]string{"Dockerfile": harness.Lines("FROM scratch", "COPY busybox /bin/busybox",
		`RUN ["/bin/busybox", "--install", "-s", "/bin"]`, "CMD echo in the built image", "")})
	for _, user := range harness.Some(1, "root", "builder") {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			j := g.Job(harness.Job(t, "buildah-registry",
				harness.Lines(
					"printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:5000}\n' \"$TMPDIR/registry\" >registry.yml",
					"docker-registry serve registry.yml >registry.log 2>&1 &",
					"until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done",
				),
				"cp /bin/busybox .",
				"buildah build --tag 127.0.0.1:5000/built .",
				"buildah push --tls-verify=false 127.0.0.1:5000/built",
				"buildah rmi --all --force",
				`echo "ran: $(podman run --rm --tls-verify=false 127.0.0.1:5000/built)"`,
			), sha)
			j.Image.User, j.Variables = user, nil
			harness.WantLines(t, p.Succeed(t, j), "ran: in the built image")
		})
	}
}
