package commands

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// wantTyped runs the commands of a page at a place, and wants these texts in what they print.
func wantTyped(t *testing.T, p *harness.Place, commands string, want ...string) string {
	t.Helper()
	out := p.Type(t, commands)
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in what this prints:\n%s\n%s", text, commands, out)
		}
	}
	return out
}

// namedAs gives a test image the name of a public one until the test's end.
func namedAs(t *testing.T, image, public string) {
	t.Helper()
	if err := harness.World.Engine.Tag(t.Context(), harness.Image(t, image), public); err != nil {
		t.Fatal(err)
	}
	harness.ForgetImage(t, public)
}

// files writes files into a folder.
func files(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The documentation's jobs from the command line, in test images with the names of its public ones.
func TestDocumentedTry(t *testing.T) {
	t.Parallel()
	namedAs(t, "bookworm", "debian:12")
	namedAs(t, "redis", "redis:7")
	for name, c := range map[string]struct {
		commands string
		want     []string
	}{
		"try": {pages.Commands(t, "docs/try.md", "gitlab-sysbox-executor try"), []string{
			"PRETTY_NAME=\"Debian GNU/Linux 12", "\nthe variable is value, and redis is there\n", "\nbuilt the working copy\n"}},
		"services": {pages.Commands(t, "docs/services.md", "gitlab-sysbox-executor try"), []string{" cache\n", " redis\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Job: localImages})
			compare := p.Unchanged(t)
			files(t, p.Dir, map[string]string{
				"job.sh":         "getent hosts redis >/dev/null && echo \"the variable is $NAME, and redis is there\"\n",
				".gitlab-ci.yml": "build:\n  image: debian:12\n  script:\n    - cat new\n",
				"new":            "built the working copy\n",
				".gitignore":     "/runner*\n/state\n",
			})
			p.Type(t, "git init --quiet . && git add job.sh && git -c user.name=A -c user.email=a@example.com -c commit.gpgsign=false commit --quiet -m first")
			wantTyped(t, p, c.commands, c.want...)
			compare()
		})
	}
}

func TestDocumentedGC(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	out := wantTyped(t, p, pages.Commands(t, "docs/cleanup.md", "gitlab-sysbox-executor gc"), " would be removed in ")
	if n := strings.Index(out, "\n["); n < 0 || !json.Valid([]byte(out[n:])) {
		t.Errorf("no JSON array at the end of\n%s", out)
	}
}

// Kept volumes are listed and removed with the engine's own client.
func TestDocumentedKeptVolumes(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Keep: true})
	p.Succeed(t, harness.Job(t, "bookworm", "true"))
	all := p.KeptVolumes(t)
	if len(all) == 0 {
		t.Fatal("no volume is kept")
	}
	wantTyped(t, p, pages.Commands(t, "docs/builds-and-cache.md", "docker volume ls", "NAME", all[0].Name), all[0].Name)
	if left := p.KeptVolumes(t); len(left) != len(all)-1 {
		t.Errorf("left of %+v: %+v", all, left)
	}
	p.GC(t) // what the executor knew of the volume
}

// The command in docs/images.md prints a credential helper's answer. Here the helper is a script.
func TestDocumentedCredentialHelper(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	p.Home(t, "", map[string]string{"docker-credential-test": harness.CredentialHelper("registry.example")})
	wantTyped(t, p, pages.Commands(t, "docs/images.md", "echo registry.example", "NAME", "test"), registry.Password)
}

// The rules of the firewall, in a network namespace of their own. The engine makes the chain on a machine.
func TestDocumentedFirewall(t *testing.T) {
	t.Parallel()
	rules := pages.Commands(t, "docs/resources.md", "# Forwarded packets")
	out, err := harness.Command(time.Minute, "unshare", "--net", "sh", "-ec", harness.Lines("PATH=$PATH:/usr/sbin:/sbin", "iptables -N DOCKER-USER", rules, "iptables -S"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := strings.Count("\n"+rules, "\niptables "); strings.Count(string(out), "-j REJECT") != want || want == 0 {
		t.Errorf("not %d rules:\n%s", want, out)
	}
}

// runnerWithoutSection is GitLab Runner's configuration before the executor's section is in it.
const runnerWithoutSection = `[[runners]]
  name = "sysbox"
  url = "https://gitlab.example.com"
  token = "glrt-0123456789"
  executor = "custom"
`

// Units are installed and changed under a systemd of their own: that of a job.
func TestDocumentedUnits(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(harness.World.Dir, "units-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, "scripts", "systemd"), os.DirFS(filepath.Join(harness.World.Repo, "scripts", "systemd")))
	}
	if err != nil {
		t.Fatal(err)
	}
	files(t, dir, map[string]string{
		"runner.toml": runnerWithoutSection,
		"drop-in":     pages.Find(t, "docs/cleanup.md", "[Service]").Text,
		// An editor gets the file to write as its last argument.
		"editor": "#!/bin/sh\nfor file; do :; done\ncp /repo/drop-in \"$file\"\n",
	})
	if err := os.Chmod(filepath.Join(dir, "editor"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[container]\nvolumes = [\"%s:/repo:ro\", \"%s:/program:ro\"]\n", dir, harness.World.Binary)})
	const timer, exporter = "systemctl is-active gitlab-sysbox-executor-%s.timer | sed 's/^/%[1]s timer: /'", "127.0.0.1/9253"
	r := p.Succeed(t, harness.Job(t, "systemd-tools",
		pages.Commands(t, "docs/cases/systemd.md", "systemctl is-system-running"),
		// The program is root's, or install refuses it.
		"cp /program /usr/local/bin/gitlab-sysbox-executor",
		"install -D /repo/runner.toml /etc/gitlab-runner/config.toml",
		"cd /repo",
		pages.Commands(t, "docs/cleanup.md", "cp scripts/systemd/gitlab-sysbox-executor-gc"), fmt.Sprintf(timer, "gc"),
		// systemctl edit wants a terminal.
		"export SYSTEMD_EDITOR=/repo/editor",
		"script --quiet --return --command '"+pages.Commands(t, "docs/cleanup.md", "systemctl edit")+"' /dev/null",
		"systemctl show --property ReadWritePaths,RestrictAddressFamilies gitlab-sysbox-executor-gc.service",
		pages.Commands(t, "docs/observe.md", "apt-get install"), fmt.Sprintf(timer, "metrics"),
		"[ -d /var/lib/prometheus/node-exporter ] && echo the folder of the collector",
		pages.Commands(t, "docs/observe.md", "cp scripts/systemd/gitlab-sysbox-executor-exporter"),
		"until (: <>/dev/tcp/"+exporter+") 2>/dev/null; do sleep 0.1; done",
		`exec 3<>/dev/tcp/`+exporter+`; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; grep '^gitlab_sysbox_executor_engine_up' <&3`,
		pages.Commands(t, "docs/shared-images.md", "cp scripts/systemd/gitlab-sysbox-executor-images"), fmt.Sprintf(timer, "images"),
		pages.Commands(t, "docs/install.md", "gitlab-sysbox-executor install"),
		"grep -c '_exec = \"/usr/local/bin/gitlab-sysbox-executor\"' /etc/gitlab-runner/config.toml | sed 's/^/stages: /'",
	))
	harness.WantLines(t, r, "running", "gc timer: active", "metrics timer: active", "images timer: active", "the folder of the collector",
		"gitlab_sysbox_executor_engine_up 0", "stages: 4")
	harness.WantTold(t, r.Call(runner.StageBuild), `"GraphDriverName": "vfs"`, "/srv/ci-state /srv/docker", "AF_INET6", "would write /etc/gitlab-sysbox-executor/config.toml",
		"To register a new runner")
}
