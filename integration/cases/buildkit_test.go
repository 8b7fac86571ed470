package cases

import (
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// Ranges of user IDs that a container does not have are made to
// fit, so that newuidmap, which rootlesskit and Buildah call, takes them.
func TestSubIDsFitTheUserNamespace(t *testing.T) {
	t.Parallel()
	for name, ranges := range map[string]string{
		"subids":  "builder:1:999 builder:1001:64535",
		"buildah": "builder:1:999 builder:1001:64535", // as it comes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.Job(t, name,
				"echo uids $(cat /etc/subuid)", "echo gids $(cat /etc/subgid)", "stat -c 'owner %u mode %a' /etc/subuid",
				`echo "mapped $(buildah unshare awk '{n += $3} END {print n}' /proc/self/uid_map)"`)
			j.Image.User = "builder"
			harness.WantLines(t, p.Succeed(t, j), "uids "+ranges, "gids "+ranges, "owner 0 mode 644", "mapped 65535")
		})
	}
}

// The same in a service, whose first process is not the agent.
func TestSubIDsOfAService(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "bookworm", `for n in $(seq 300); do [ -e "$TMPDIR/done" ] && break; sleep 0.1; done`, `echo uids $(cat "$TMPDIR/subuid")`)
	j.Services = []runner.Image{harness.Service(t, "subids", "x", "sh", "-c", `cp /etc/subuid "$TMPDIR" && touch "$TMPDIR/done"; `+harness.Stay)}
	harness.WantLines(t, p.Succeed(t, j), "uids builder:1:999 builder:1001:64535")
}

// Without a flag but those that every job has in BUILDKITD_FLAGS
// it builds with RUN steps and cache mounts, as the container's root and, under
// rootlesskit, as the user of an image like moby/buildkit:rootless.
func TestBuildKitBuilds(t *testing.T) {
	t.Parallel()
	const page = "docs/cases/buildkit.md"
	p := harness.NewPlace(t, harness.Settings{})
	for _, c := range []struct {
		image, build string
		want         []string
	}{
		{"buildkit", "buildkitd", []string{"built by BuildKit", "on the storage volume"}},
		{"buildkit-rootless", "rootlesskit", []string{"built by BuildKit"}},
	} {
		t.Run(c.image, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, c.image, builtContext(),
				`printf 'RUN --mount=type=cache,target=/cache echo kept >/cache/file && echo built by BuildKit\n' >>context/Dockerfile`,
				pages.Commands(t, page, c.build, "buildctl build", "buildctl build --progress=plain")+" >build.log 2>&1 || { cat build.log buildkitd.log; exit 1; }",
				"sed -n 's/^#[0-9]* [0-9.]* //p' build.log", pages.Commands(t, page, "cat /etc/subuid"),
				"[ ! -w /var/lib/buildkit ] || [ ! -d /var/lib/containers/buildkit/runc-native ] || echo on the storage volume",
			)
			j.Image.Entrypoint = []string{""}
			harness.WantLines(t, p.Succeed(t, j), c.want...)
		})
	}
}

// The same image as a service takes the flags as its command.
func TestBuildKitAsService(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	j := harness.Job(t, "buildkit", builtContext(),
		"timeout 60 sh -c 'until buildctl --addr tcp://buildkit:1234 debug workers >workers.log 2>&1; do sleep 0.2; done'",
		"printf 'RUN echo built in the service\\n' >>context/Dockerfile",
		"buildctl --addr tcp://buildkit:1234 build --progress=plain --frontend=dockerfile.v0 --local context=context --local dockerfile=context >build.log 2>&1 || { cat build.log; exit 1; }",
		"sed -n 's/^#[0-9]* [0-9.]* //p' build.log")
	j.Services = []runner.Image{{
		Name: harness.Image(t, "buildkit-rootless"), Alias: "buildkit", PullPolicies: []string{"if-not-present"},
		Command: []string{"--addr=tcp://0.0.0.0:1234", "--oci-worker-no-process-sandbox", "--oci-worker-snapshotter=native", "--oci-worker-binary=/opt/gitlab-sysbox-executor/runc"},
	}}
	harness.WantLines(t, p.Succeed(t, j), "built in the service")
}
