package harness

import (
	"strings"
	"testing"
)

// BuildScript builds an image from nothing but the job image's static busybox.
func BuildScript() []string {
	return []string{
		Lines(
			"mkdir context",
			"cp /bin/busybox context/",
			"cat >context/Dockerfile <<'END'",
			"FROM scratch",
			"COPY busybox /bin/busybox",
			`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
			"RUN mkdir -p /srv && echo first >/srv/layers",
			"RUN --mount=type=cache,target=/var/cache/test echo second >>/srv/layers && touch /var/cache/test/used",
			"RUN rm /bin/vi",
			"END",
		),
		"buildah build --tag built context",
		"buildah from --name check built",
		// Buildah may lose the output of a command (docs/cases/buildah.md), but not its exit status.
		`buildah run check -- sh -c 'set -- $(cat /srv/layers); [ "$*" = "first second" ]' && echo layers first second`,
		"buildah info | tr -d ' \",' | grep GraphDriverName",
	}
}

// WantBuilt wants what BuildScript prints of a build with vfs.
func WantBuilt(t *testing.T, output string) {
	t.Helper()
	for _, want := range []string{"\nlayers first second\n", "\nGraphDriverName:vfs\n"} {
		if !strings.Contains(output, want) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
}

// BusyboxContext writes a Dockerfile that starts from nothing but a static busybox
// and goes on with these lines.
func BusyboxContext(further ...string) string {
	return Lines(
		"mkdir -p context",
		"cp /bin/busybox context/",
		"cat >context/Dockerfile <<'END'",
		"FROM scratch",
		"COPY busybox /bin/busybox",
		`RUN ["/bin/busybox", "--install", "-s", "/bin"]`,
		Lines(further...),
		"END",
	)
}

// BuildahDriver prints the storage driver that Buildah has.
func BuildahDriver(prefix, command string) string {
	return "echo " + prefix + " $(" + command + " info | tr -d ' \",' | sed -n s/GraphDriverName://p)"
}
