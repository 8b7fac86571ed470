package cases

import (
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
)

// A job builds an image with vfs, and nothing of it is left.
func TestBuildahBuildsAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, name := range harness.Some(1, "buildah", "buildah-trixie") {
		t.Run(name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			j := harness.Job(t, name, append(harness.BuildScript(), pages.Commands(t, "docs/cases/buildah.md", "buildah info"))...)
			compare := p.Unchanged(t)
			harness.WantBuilt(t, p.Succeed(t, j).Log.String())
			compare()
		})
	}
}

// Everything that jobs do with it, as the container's root and
// as another user, in an image without a configuration of its own and in images
// laid out as the public ones of Buildah and Podman are (integration/recipes/escape.bash).
// It pushes to a registry on the job's own loopback.
func TestBuildahDoesItAll(t *testing.T) {
	t.Parallel()
	r, err := harness.Registry()
	if err != nil {
		t.Fatal(err)
	}
	type combination struct{ image, user string }
	for _, c := range harness.Some(1,
		combination{"buildah", "builder"}, combination{"escape", "root"}, combination{"escape", "builder"}, combination{"escape-trixie", "builder"}, combination{"escape-trixie", "root"},
	) {
		t.Run(c.image+" as "+c.user, func(t *testing.T) {
			t.Parallel()
			// Buildah may lose the output of a step (docs/cases/buildah.md), so the test reads files.
			read := func(container, file string) string {
				read := "cat $(buildah mount " + container + ")" + file + " && buildah umount " + container + " >/dev/null"
				if c.user != "root" {
					read = "buildah unshare sh -c '" + read + "'"
				}
				return "$(" + read + ")"
			}
			build := func(turn string) string {
				return "buildah build --layers --secret id=token,src=token --build-arg TURN=" + turn + " --tag 127.0.0.1:5000/built context 2>&1"
			}
			j := harness.Job(t, c.image,
				harness.Lines(`(sleep 1000 | registry -dir "$TMPDIR/registry" -listen 127.0.0.1:5000 >registry.log 2>&1) &`, "mkdir -p \"$TMPDIR/registry\"",
					"until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done"),
				harness.Lines(
					"mkdir context", "cp /bin/busybox context/", "echo hunter2 >token",
					"cat >context/Dockerfile <<'END'",
					"FROM scratch AS base",
					"COPY busybox /bin/busybox",
					`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
					"FROM base AS maker",
					"RUN --mount=type=secret,id=token mkdir /out && wc -c </run/secrets/token >/out/made",
					"ARG TURN",
					`RUN --mount=type=cache,target=/cache echo "before $TURN: [$(cat /cache/mark 2>/dev/null)]" >>/cache/log && cp /cache/log /out/ && echo mine >/cache/mark`,
					"FROM base",
					"COPY --from=maker /out /",
					"END"),
				build("first"),
				build("second")+" | tee second.log",
				`echo "layers: $(grep -c 'Using cache' second.log | sed 's/[1-9].*/taken from the cache/')"`,
				"buildah from --name work 127.0.0.1:5000/built",
				"buildah run work -- sh -c 'echo ran >/ran && cat /proc/self/comm >/dev/null'",
				`echo "mounted: `+read("work", "/made")+`"`, `echo "`+read("work", "/log")+`"`,
				"buildah commit --quiet work 127.0.0.1:5000/committed",
				"buildah push --quiet --tls-verify=false 127.0.0.1:5000/committed",
				"buildah rm --all >/dev/null && buildah rmi --all --force >/dev/null",
				"buildah from --name again --tls-verify=false 127.0.0.1:5000/committed",
				`buildah run again -- sh -c 'echo $(cat /made /ran) >/pulled; { ls /run/secrets; grep -r hunter2 /out /run; echo none; } 2>/dev/null >/secret'`,
				`echo "pulled: `+read("again", "/pulled")+`"`,
				`echo "secret: `+read("again", "/secret")+`"`,
				harness.BuildahDriver("driver", "buildah"),
			)
			j.Image.User = c.user
			p := harness.NewPlace(t, harness.Settings{Other: "[container]\nvolumes = [\"" + r.Binary + ":/usr/local/bin/registry:ro\"]\n"})
			harness.WantLines(t, p.Succeed(t, j), "before first: []", "before second: [mine]", "layers: taken from the cache",
				"mounted: 8", "pulled: 8 ran", "secret: none", "driver vfs")
		})
	}
}
