package integration

import "testing"

// Issue 6, BuildKit: ranges of user IDs that a container does not have are made to
// fit, so that newuidmap, which rootlesskit and Buildah call, takes them.
func TestSubIDsFitTheUserNamespace(t *testing.T) {
	t.Parallel()
	for name, ranges := range map[string]string{
		"subids":  "builder:1:999 builder:1001:64535",
		"buildah": "builder:1:999 builder:1001:64535", // as it comes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			j := job(t, name,
				"echo uids $(cat /etc/subuid)", "echo gids $(cat /etc/subgid)", "stat -c 'owner %u mode %a' /etc/subuid",
				`echo "mapped $(buildah unshare awk '{n += $3} END {print n}' /proc/self/uid_map)"`)
			j.Image.User = "builder"
			wantLines(t, p.succeed(t, j), "uids "+ranges, "gids "+ranges, "owner 0 mode 644", "mapped 65535")
		})
	}
}

// Issue 6, BuildKit: started as the container's root, without a flag but those
// that every job has in BUILDKITD_FLAGS, it builds with RUN steps and cache mounts.
func TestBuildKitBuildsWithTheFlagsOfTheJob(t *testing.T) {
	t.Parallel()
	p := newPlace(t, settings{})
	j := job(t, "buildkit", buildScript()[0], lines(
		`printf 'RUN --mount=type=cache,target=/cache echo kept >/cache/file && echo built by BuildKit\n' >>context/Dockerfile`,
		`echo "flags $BUILDKITD_FLAGS"`,
		"buildkitd $BUILDKITD_FLAGS >buildkitd.log 2>&1 &",
		"for i in $(seq 100); do buildctl debug workers >/dev/null 2>&1 && break; sleep 0.1; done",
		"buildctl build --progress=plain --frontend=dockerfile.v0 --local context=context --local dockerfile=context >build.log 2>&1 || { cat build.log buildkitd.log; exit 1; }",
		"sed -n 's/^#[0-9]* [0-9.]* //p' build.log",
	))
	wantLines(t, p.succeed(t, j), "flags --oci-worker-no-process-sandbox --oci-worker-snapshotter=native", "built by BuildKit")
}
