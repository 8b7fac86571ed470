// Package packages tests the packages: what is in them, and what they do on a machine.
package packages

import (
	"archive/tar"
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/pages"
)

const name = "gitlab-sysbox-executor"

func goCommand() string { return cmp.Or(os.Getenv("GO"), "go") }

// build builds packages from a source tree and returns their paths.
func build(t *testing.T, source, version, arches string, formats ...string) (paths []string) {
	t.Helper()
	output := t.TempDir()
	env := []string{"ARCHES=" + arches, "GSX_CACHE_DIR=" + cmp.Or(os.Getenv("GSX_CACHE_DIR"), filepath.Join(repo(t), ".cache"))}
	if version != "" {
		env = append(env, "VERSION="+version)
	}
	command(t, env, filepath.Join(source, "scripts/package.sh"), append([]string{output}, formats...)...)
	command(t, nil, "sh", "-c", "cd "+output+" && sha256sum --check --quiet SHA256SUMS")
	all, err := filepath.Glob(filepath.Join(output, name+"*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	return all
}

func only(t *testing.T, paths []string, suffix string) string {
	t.Helper()
	all := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !strings.HasSuffix(p, suffix) })
	if len(all) != 1 {
		t.Fatalf("%v has not one *%s", paths, suffix)
	}
	return all[0]
}

// architecture is that of this machine, as Go and Debian name it.
func architecture(t *testing.T) string {
	return strings.TrimSpace(command(t, nil, "dpkg", "--print-architecture"))
}

// wanted are files of every package.
var wanted = []string{
	"/usr/bin/" + name,
	"/etc/" + name + "/config.toml",
	"/usr/lib/systemd/system/" + name + "-gc.timer",
	"/usr/lib/systemd/system/" + name + "-gc.service",
	"/usr/share/man/man1/" + name + ".1.gz",
	"/usr/share/man/man1/" + name + "-try.1.gz",
	"/usr/share/bash-completion/completions/" + name,
	"/usr/share/fish/vendor_completions.d/" + name + ".fish",
	"/usr/share/doc/" + name + "/README.md",
}

// The smaller form of TestMachine, for CI: what is in the package of this machine's architecture.
func TestDebianPackage(t *testing.T) {
	arch := architecture(t)
	deb := only(t, build(t, repo(t), "", arch, "deb"), ".deb")
	root := t.TempDir()
	command(t, nil, "dpkg-deb", "--extract", deb, root)
	wantContent(t, root)
	if out := command(t, nil, "dpkg-deb", "--info", deb, "conffiles"); !strings.Contains(out, "/etc/"+name+"/config.toml") {
		t.Errorf("config.toml is not a conffile:\n%s", out)
	}
	wantRelease(t, command(t, nil, filepath.Join(root, "usr/bin", name), "version", "--json"), arch)
}

// wantContent checks the files of a Debian package below root.
func wantContent(t *testing.T, root string) {
	t.Helper()
	for _, path := range append([]string{"/usr/share/zsh/vendor-completions/_" + name, "/usr/share/doc/" + name + "/copyright"}, wanted...) {
		if _, err := os.Lstat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	units, err := filepath.Glob(filepath.Join(root, "usr/lib/systemd/system", name+"-*.service"))
	if err != nil || len(units) != 4 {
		t.Error(units, err)
	}
	for _, unit := range units {
		if text, err := os.ReadFile(unit); err != nil || !strings.Contains(string(text), "ExecStart=/usr/bin/"+name+" ") {
			t.Errorf("%s: %v\n%s", unit, err, text)
		}
	}
}

// wantRelease checks the output of version --json.
func wantRelease(t *testing.T, text, arch string) {
	t.Helper()
	var v struct {
		Version, Commit, Date, Go, Arch string
		Modules                         []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err, text)
	}
	commit := strings.TrimSpace(command(t, nil, "git", "rev-parse", "HEAD"))
	if v.Commit != commit || v.Version == "" || !strings.HasPrefix(v.Go, "go1.") || v.Arch != arch {
		t.Errorf("%+v", v)
	}
	if _, err := time.Parse(time.RFC3339, v.Date); err != nil {
		t.Error(err)
	}
	if len(v.Modules) < 10 || v.Modules[0].Path == "" || v.Modules[0].Version == "" {
		t.Errorf("modules: %+v", v.Modules)
	}
}

// whole is true for `make test-package`.
func whole(t *testing.T) {
	t.Helper()
	if os.Getenv("GSX_PACKAGE") != "1" {
		t.Skip("`make test-package` runs it; TestDebianPackage is its smaller form")
	}
}

// Every format has the same files, for both architectures, and a second build has the same bytes.
func TestAllFormats(t *testing.T) {
	whole(t)
	first, second := build(t, repo(t), "", "amd64 arm64"), build(t, repo(t), "", "amd64 arm64")
	if len(first) != 8 || len(second) != 8 {
		t.Fatal(first, second)
	}
	for n, path := range first {
		a, errA := os.ReadFile(path)
		b, errB := os.ReadFile(second[n])
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if string(a) != string(b) {
			t.Errorf("%s differs in a second build", filepath.Base(path))
		}
	}
	for _, arch := range []struct{ golang, rpm, machine string }{{"amd64", "x86_64", "x86-64"}, {"arm64", "aarch64", "ARM aarch64"}} {
		deb := only(t, first, "_"+arch.golang+".deb")
		list := command(t, nil, "dpkg-deb", "--contents", deb)
		for _, path := range wanted {
			if !strings.Contains(list, " ."+path+"\n") {
				t.Errorf("%s has no %s", deb, path)
			}
		}
		wantTarball(t, only(t, first, "-linux-"+arch.golang+".tar.gz"))
		wantModules(t, only(t, first, "-linux-"+arch.golang+".cdx.json"))
		only(t, first, "."+arch.rpm+".rpm")
	}
}

func wantTarball(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		_, inside, _ := strings.Cut(h.Name, "/")
		all = append(all, inside)
	}
	for _, want := range []string{name, "README.md", "LICENSE", "config.example.toml", "man/" + name + ".1.gz", "completion/" + name + ".zsh", "systemd/" + name + "-gc.timer"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s has no %s", path, want)
		}
	}
}

// wantModules checks a CycloneDX list: it names what go.mod names and the program links.
func wantModules(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		BomFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &list); err != nil || list.BomFormat != "CycloneDX" {
		t.Fatal(err, list.BomFormat)
	}
	for _, want := range []string{"github.com/spf13/cobra", "github.com/docker/docker", "std"} {
		if !slices.ContainsFunc(list.Components, func(c struct{ Name, Version string }) bool { return c.Name == want && c.Version != "" }) {
			t.Errorf("%s does not name %s", path, want)
		}
	}
}

// previous builds the package of the release before, or of the commit before, with a version before that of now.
func previous(t *testing.T, arch string) string {
	t.Helper()
	commit := "HEAD~1"
	if tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD~1").Output(); err == nil {
		commit = strings.TrimSpace(string(tag))
	}
	source := filepath.Join(scratch(t), "source")
	command(t, nil, "git", "worktree", "add", "--detach", "--quiet", source, commit)
	t.Cleanup(func() { _ = exec.Command("git", "worktree", "remove", "--force", source).Run() })
	return only(t, build(t, source, "0.0.0~0", arch, "deb"), ".deb")
}

const runnerConfig = `# The Runner of this machine.
concurrent = 2

[[runners]]
  name = "sysbox" # the token is not real
  url = "https://gitlab.example.com"
  token = "glrt-0123456789"
  executor = "custom"
  [runners.custom]
    run_exec = ""

[[runners]] # another
  name = "shell"
  executor = "shell"
`

// As a new user would: from the package to the first job by the README's commands, to the Runner's section, and back to
// a machine without anything of it. Before that, an upgrade while a job runs.
func TestMachine(t *testing.T) {
	whole(t)
	arch := architecture(t)
	old, deb := previous(t, arch), only(t, build(t, repo(t), "", arch, "deb"), ".deb")
	m := boot(t)
	t.Log("runtime: sysbox-standin (a stand-in: Sysbox is not in this machine), registered as sysbox-runc")
	m.write("etc/gitlab-runner/config.toml", runnerConfig)
	image(m)
	before := m.state()

	upgrade(m, old, deb)
	m.run("apt-get purge -y " + name)
	m.wantState(before, "after the upgrade and a purge")

	quickStart(m, deb)
	runnerSection(m)
	removal(m)
	m.run("apt-get purge -y " + name)
	m.wantState(before, "after the purge")
	if text := m.run("cat /etc/gitlab-runner/config.toml"); text != runnerConfig {
		t.Errorf("the Runner's configuration after the purge:\n%s", text)
	}
}

// image puts an image of the README's name, with a few programs of Debian, into the registry of the machine, which is
// the engine's mirror.
func image(m *machine) {
	m.t.Helper()
	m.run(`set -e
		systemctl is-active docker docker-registry
		mkdir -p /tmp/image/etc /tmp/image/tmp /tmp/image/usr/bin
		ln -s usr/bin /tmp/image/bin
		cp -L /etc/os-release /etc/passwd /etc/group /tmp/image/etc/
		for program in dash cat cp grep id mkdir mv rm sleep touch; do
			cp /usr/bin/$program /tmp/image/usr/bin/
			ldd /usr/bin/$program | grep -o '/lib[^ ]*' | while read -r library; do cp -L --parents $library /tmp/image; done
		done
		ln -s dash /tmp/image/usr/bin/sh
		tar -C /tmp/image -c . | docker import - 127.0.0.1:5000/library/debian:13
		docker push --quiet 127.0.0.1:5000/library/debian:13
		docker image rm 127.0.0.1:5000/library/debian:13
		rm -r /tmp/image`)
}

// put copies a package into the machine's folder /root, alone.
func put(m *machine, deb string) {
	m.t.Helper()
	command(m.t, nil, "sh", "-c", "rm -f "+m.root+"/root/*.deb && cp "+deb+" "+m.root+"/root/")
}

func upgrade(m *machine, old, deb string) {
	m.t.Helper()
	put(m, old)
	m.run("apt-get install -y ./*.deb")
	if out := m.run(name + " version"); out != "0.0.0~0\n" {
		m.t.Errorf("the version before: %s", out)
	}
	out, ended := m.start(name + " try --image debian:13 -- 'echo began; until [ -e /tmp/go-on ]; do sleep 0.1; done; echo ended'")
	const find = "docker ps --quiet --filter label=io.gitlab-sysbox-executor.role=build"
	running(m, find, ended, out)
	put(m, deb)
	m.run("apt-get install -y ./*.deb")
	if now := m.run(name + " version"); now == "0.0.0~0\n" {
		m.t.Error("the package was not upgraded")
	}
	m.run("docker exec $(" + find + ") touch /tmp/go-on")
	if err := <-ended; err != nil || !strings.Contains(*out, "\nended\n") {
		m.t.Errorf("the job that ran during the upgrade: %v\n%s", err, *out)
	}
	if jobs := m.run(name + " ps --json"); strings.TrimSpace(jobs) != "[]" {
		m.t.Errorf("left by the job: %s", jobs)
	}
}

// running waits until a script runs in the job's container.
func running(m *machine, find string, ended <-chan error, out *string) {
	m.t.Helper()
	for {
		if text, err := m.try(m.t.Context(), "docker exec $("+find+") sh -c 'grep -qa go-on /proc/[0-9]*/cmdline'"); err == nil {
			return
		} else if m.t.Context().Err() != nil {
			m.t.Fatal(text)
		}
		select {
		case err := <-ended:
			m.t.Fatalf("the job ended early: %v\n%s", err, *out)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// quickStart pastes the README's commands.
func quickStart(m *machine, deb string) {
	m.t.Helper()
	put(m, deb)
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute) // what the README promises
	defer cancel()
	began := time.Now()
	out, err := m.try(ctx, "set -e\n"+pages.Commands(m.t, "README.md", "apt-get install"))
	if err != nil || !strings.Contains(out, "\nPRETTY_NAME=\"Debian GNU/Linux 13") {
		m.t.Fatalf("the quick start: %v\n%s", err, out)
	}
	m.t.Logf("from the package to the end of the first job: %.1f s\n%s", time.Since(began).Seconds(), out)
	for _, timer := range []string{"gc", "images", "metrics"} {
		m.run("systemctl is-enabled " + name + "-" + timer + ".timer && systemctl is-active " + name + "-" + timer + ".timer && systemctl start " + name + "-" + timer + ".service")
	}
	m.run("man -w " + name + " 2>/dev/null || test -e /usr/share/man/man1/" + name + ".1.gz")
	m.run("bash -c '. /usr/share/bash-completion/bash_completion; . /usr/share/bash-completion/completions/" + name + "; complete -p " + name + "'")
	if help := m.run(name + " --help"); strings.Contains(help, "\n  doctor ") {
		// Without Sysbox it has findings: its exit code is not that of a machine that is well.
		out, err := m.try(m.t.Context(), name+" doctor")
		m.t.Logf("doctor: %v\n%s", err, out)
		if !strings.Contains(out, "sysbox-runc") {
			m.t.Errorf("doctor does not name the runtime: %v\n%s", err, out)
		}
	} else {
		m.t.Log("doctor: this program has no such command")
	}
}

// runnerSection pastes the README's command for the Runner.
func runnerSection(m *machine) {
	m.t.Helper()
	m.run("set -e\n" + pages.Commands(m.t, "README.md", "gitlab-sysbox-executor install"))
	text := m.run("cat /etc/gitlab-runner/config.toml")
	for line := range strings.Lines(runnerConfig) {
		if !strings.Contains(text, line) && !strings.Contains(line, `run_exec = ""`) {
			m.t.Errorf("the line %q is gone in\n%s", line, text)
		}
	}
	for _, stage := range []string{"config", "prepare", "run", "cleanup"} {
		if !strings.Contains(text, stage+`_exec = "/usr/bin/`+name+`"`) || !strings.Contains(text, stage+`_args = ["`+stage+`"]`) {
			m.t.Errorf("no %s in\n%s", stage, text)
		}
	}
}

// removal wants a refusal while a job runs.
func removal(m *machine) {
	m.t.Helper()
	out, ended := m.start(name + " try --image debian:13 -- 'until [ -e /tmp/go-on ]; do sleep 0.1; done'")
	const find = "docker ps --quiet --filter label=io.gitlab-sysbox-executor.role=build"
	running(m, find, ended, out)
	if text, err := m.try(m.t.Context(), "apt-get purge -y "+name); err == nil || !strings.Contains(text, "jobs run") {
		m.t.Errorf("the removal while a job runs: %v\n%s", err, text)
	}
	m.run("systemctl is-active " + name + "-gc.timer && docker exec $(" + find + ") touch /tmp/go-on")
	if err := <-ended; err != nil {
		m.t.Errorf("the job during the refused removal: %v\n%s", err, *out)
	}
}
