package cases

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// foreignPrograms builds a program for each architecture, and returns their folder.
func foreignPrograms(t *testing.T, architectures ...string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(harness.World.Dir, "foreign-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, architecture := range architectures {
		build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, architecture), "./foreign")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOARCH="+architecture)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// hostRegistrations lists the host's own registrations of foreign programs.
func hostRegistrations(t *testing.T) string {
	t.Helper()
	out, err := harness.Command(30*time.Second, "unshare", "--mount", "sh", "-c", "mount -t binfmt_misc binfmt_misc /mnt && ls /mnt")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// other is an architecture that this machine does not have.
func other() string {
	if runtime.GOARCH == "arm64" {
		return "amd64"
	}
	return "arm64"
}

const canEmulate = `Programs for %s, riscv64 run in this job with QEMU.`

// A job builds an image for two architectures, with RUN lines, pushes it, and runs what it gets back. Nothing is
// registered on the host.
func TestImagesForOtherArchitectures(t *testing.T) {
	t.Parallel()
	r, err := harness.Registry()
	if err != nil {
		t.Fatal(err)
	}
	foreign := other()
	programs := foreignPrograms(t, runtime.GOARCH, foreign, "riscv64")
	before := hostRegistrations(t)
	p := harness.NewPlace(t, harness.Settings{
		Job:   fmt.Sprintf("emulate = [%q, \"riscv64\"]", foreign),
		Other: fmt.Sprintf("[container]\nvolumes = [\"%s:/usr/local/bin/registry:ro\", \"%s:/programs:ro\"]\n", r.Binary, programs),
	})
	compare := p.Unchanged(t)
	const image = "127.0.0.1:5000/both"
	read := func(container, platform string) string {
		return harness.Lines("buildah from --quiet --name "+container+" --tls-verify=false --platform linux/"+platform+" "+image+" >/dev/null",
			"buildah run "+container+" -- /bin/say /ran >/dev/null", "at=$(buildah mount "+container+")",
			`echo "`+platform+`: made by $(cat $at/made), ran $(cat $at/ran)"`)
	}
	j := harness.Job(t, "buildah",
		"/programs/"+foreign, "/programs/riscv64",
		harness.Lines(`(sleep 1000 | registry -dir "$TMPDIR/registry" -listen 127.0.0.1:5000 >registry.log 2>&1) &`, "mkdir -p \"$TMPDIR/registry\"",
			"until (: </dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.1; done"),
		harness.Lines("mkdir context && cp /programs/* context/", "cat >context/Dockerfile <<'END'",
			"FROM scratch", "ARG TARGETARCH", "COPY ${TARGETARCH} /bin/say", `RUN ["/bin/say", "/made"]`, `CMD ["/bin/say"]`, "END"),
		harness.Lines("mkdir -p /etc/containers/registries.conf.d", `printf '[[registry]]\nlocation = "127.0.0.1:5000"\ninsecure = true\n' >/etc/containers/registries.conf.d/here.conf`),
		"cd context", pages.Commands(t, "docs/cases/multi-arch.md", "buildah build"),
		"buildah rmi --all --force >/dev/null",
		read("own", runtime.GOARCH), read("foreign", foreign),
	)
	s := p.Ready(t, harness.With(j, runner.Var("CI_REGISTRY_IMAGE", image)))
	if after := hostRegistrations(t); after != before {
		t.Errorf("the host has the registrations %q, before the job %q", after, before)
	}
	call := s.Run(t.Context(), runner.StageBuild)
	if call.Err != nil {
		t.Fatal(call)
	}
	said := func(architecture string) string { return architecture + " as /bin/say" }
	for _, want := range []string{
		foreign + " as /programs/" + foreign, "riscv64 as /programs/riscv64",
		fmt.Sprintf("%s: made by %s, ran %s", foreign, said(foreign), said(foreign)),
		fmt.Sprintf("%s: made by %s, ran %[2]s", runtime.GOARCH, said(runtime.GOARCH)),
	} {
		if !call.Output.Has(want) {
			t.Errorf("no line %q in %s", want, call)
		}
	}
	harness.WantCleanup(t, s)
	compare()
	if after := hostRegistrations(t); after != before {
		t.Errorf("the host has the registrations %q, before the job %q", after, before)
	}
}

// With systemd as first process, in a service, and for a job that is not root.
func TestOtherArchitecturesInEveryContainer(t *testing.T) {
	t.Parallel()
	foreign := other()
	programs := foreignPrograms(t, foreign)
	p := harness.NewPlace(t, harness.Settings{
		Job:   fmt.Sprintf("emulate = [%q, \"riscv64\"]", foreign),
		Other: fmt.Sprintf("[container]\nvolumes = [\"%s:/programs:ro\"]\n", programs),
	})
	for _, c := range []struct{ image, user string }{{"systemd", ""}, {"bookworm", "1000:1000"}} {
		t.Run(c.image, func(t *testing.T) {
			j := harness.Job(t, c.image, "(exec -a another /programs/"+foreign+")", "until [ -s /builds/service ]; do sleep 0.1; done; cat /builds/service")
			j.Image.User = c.user
			j.Services = []runner.Image{{Name: harness.Image(t, "bookworm"), Alias: "other", PullPolicies: []string{"if-not-present"},
				Command: []string{"sh", "-c", "until /programs/" + foreign + " /builds/service; do sleep 0.1; done; sleep 1000"}}}
			r := p.Succeed(t, j)
			harness.WantLines(t, r, foreign+" as another", foreign+" as /programs/"+foreign)
			wantPrepared(t, r, fmt.Sprintf(canEmulate, foreign))
		})
	}
}

// Emulators that are not there are the administrator's to install.
func TestEmulatorsThatAreNotThere(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: fmt.Sprintf("emulate = [%q]\nemulator_dir = \"/nowhere\"", other())})
	compare := p.Unchanged(t)
	r := p.Runner.Play(harness.Job(t, "bookworm", "true"))
	if text := r.Log.String(); r.Outcome != runner.SystemFailure || !strings.Contains(text, "/nowhere has neither qemu-") || !strings.Contains(text, "qemu-user-static") {
		t.Error(r)
	}
	compare()
}
