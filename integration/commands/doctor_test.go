package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
)

// diagnosis is what doctor prints with --json.
type diagnosis struct {
	Severity doctor.Severity  `json:"severity"`
	Findings []doctor.Finding `json:"findings"`
	Fixes    []doctor.Fix     `json:"fixes"`
}

// examine runs doctor with the place's files.
func examine(t *testing.T, p *harness.Place, args ...string) diagnosis {
	t.Helper()
	args = append([]string{"doctor", "--json", "--runner-config", filepath.Join(p.Dir, "runner.toml")}, args...)
	return diagnose(t, exec.CommandContext(t.Context(), harness.World.Binary, append(args, p.Runner.Driver.ConfigArgs[1:]...)...))
}

// documented runs doctor as docs/doctor.md does, and wants the findings to be about the subjects of the page's example.
func documented(t *testing.T, p *harness.Place, begin string) diagnosis {
	t.Helper()
	d := diagnose(t, p.Shell(t, pages.Commands(t, "docs/doctor.md", begin)+" --json"))
	subjects := regexp.MustCompile(`(?m)^(?:ok|note|warning|error) +(\S+(?: \S+)*)  `).FindAllStringSubmatch(pages.Find(t, "docs/doctor.md", begin).Output(), -1)
	if len(subjects) == 0 {
		t.Error("the example in docs/doctor.md has no findings")
	}
	for _, s := range subjects {
		if !slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool { return f.Check == s[1] }) {
			t.Errorf("the example in docs/doctor.md has a finding about %q, and this has none: %+v", s[1], d.Findings)
		}
	}
	return d
}

// diagnose runs doctor, and checks its exit code against its findings.
func diagnose(t *testing.T, c *exec.Cmd) (d diagnosis) {
	t.Helper()
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if json.Unmarshal(out, &d) != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut.Bytes())
	}
	want := map[doctor.Severity]int{doctor.Warning: 1, doctor.Error: 2}[d.Severity]
	if code := c.ProcessState.ExitCode(); code != want || d.Severity != doctor.Worst(d.Findings) {
		t.Errorf("exit code %d, severity %s", code, d.Severity)
	}
	return d
}

// want looks for a finding with these parts.
func (d diagnosis) want(t *testing.T, check string, s doctor.Severity, text, next string) {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check == check && f.Severity == s && strings.Contains(f.Text, text) && strings.Contains(f.Next, next) {
			return
		}
	}
	t.Errorf("no %s %s with %q and %q in %+v", s, check, text, next, d.Findings)
}

// runnerSection writes a right configuration of the Runner, with some text replaced.
func runnerSection(t *testing.T, p *harness.Place, replace ...string) {
	t.Helper()
	text := "concurrent = 2\n[[runners]]\nname = \"sysbox\"\nurl = \"https://gitlab.example.com\"\ntoken = \"glrt-1\"\nexecutor = \"custom\"\n[runners.custom]\n"
	for _, stage := range []string{"config", "prepare", "run", "cleanup"} {
		text += fmt.Sprintf("%[1]s_exec = %[2]q\n%[1]s_args = [%[1]q, \"--config\", %[3]q]\n", stage, harness.World.Binary, p.Runner.Driver.ConfigArgs[2])
	}
	text += "graceful_kill_timeout = 60\n"
	if err := os.WriteFile(filepath.Join(p.Dir, "runner.toml"), []byte(strings.NewReplacer(replace...).Replace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rewrite replaces text in a place's configuration.
func rewrite(t *testing.T, p *harness.Place, replace ...string) {
	t.Helper()
	path := p.Runner.Driver.ConfigArgs[2]
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Machines on which something is not right, each with a real engine, file system, file or job. The dead daemon
// of Sysbox is in executor/doctor: here it would end other tests' containers.
func TestDoctorOnPreparedMachines(t *testing.T) {
	t.Parallel()
	noJob := func(t *testing.T, p *harness.Place) diagnosis { return examine(t, p, "--no-job") }
	for name, prepare := range map[string]func(*testing.T){
		"no engine": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Host: "unix:///run/gsx-no-such-engine.sock"})
			d := examine(t, p)
			d.want(t, "engine", doctor.Error, "cannot be reached", "systemctl enable --now docker")
			d.want(t, "job", doctor.Note, "no real job was run", "engine")
		},
		"an engine without the runtime": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			rewrite(t, p, fmt.Sprintf("runtime = %q", harness.World.Runtime), `runtime = "no-such-runtime"`)
			noJob(t, p).want(t, "runtime", doctor.Error, `the engine has no runtime "no-such-runtime" (it has `, "")
		},
		"a full disk": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"512MiB\"\novercommit = 1000.0\nmin_free = \"16MiB\""})
			full := filepath.Join(p.Dir, "full")
			mount(t, full, "tmpfs", "size=32m")
			rewrite(t, p, "[storage]\n", fmt.Sprintf("[storage]\ndir = %q\n", full))
			noJob(t, p).want(t, "volume disk", doctor.OK, "free in "+full+", tmpfs without reflinks", "")
			if err := os.WriteFile(filepath.Join(full, "big"), make([]byte, 24<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			d := examine(t, p)
			d.want(t, "volume disk", doctor.Error, "is less than min_free 16MiB", "gitlab-sysbox-executor gc; then remove what else fills "+full)
			d.want(t, "job", doctor.Note, "no real job was run", "volume disk")
		},
		"a Runner with a wrong section": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			runnerSection(t, p, `["run",`, `["prepare",`, "= 60", "= 5")
			d := noJob(t, p)
			d.want(t, "runner", doctor.Error, `run_args calls the command "prepare", not "run"`, fmt.Sprintf("set run_exec = %q", harness.World.Binary))
			d.want(t, "runner", doctor.Error, "graceful_kill_timeout is 5s, not above run.kill_grace, 10s", "graceful_kill_timeout = 60")
		},
		"wrong modes": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{})
			jobs, path := statedir.Dir(p.StateDir).Jobs(), p.Runner.Driver.ConfigArgs[2]
			if err := errors.Join(os.MkdirAll(jobs, 0o755), os.Chmod(p.StateDir, 0o750), os.Chmod(jobs, 0o777), os.Chmod(path, 0o666)); err != nil {
				t.Fatal(err)
			}
			d := noJob(t, p)
			d.want(t, "files", doctor.Error, path+" has mode 0666: others can change it", "chmod go-w "+path)
			d.want(t, "files", doctor.Error, "a container's root cannot pass through it", "chmod o+x "+p.StateDir)
			d.want(t, "files", doctor.Warning, jobs+" has mode 0777 instead of 0711", "chmod 0711 "+jobs)
			d = examine(t, p, "--no-job", "--fix")
			modes := 0
			for _, f := range d.Fixes { // gc may remove what another test left on the engine
				if f.Check == "files" {
					modes++
				}
			}
			if modes != 3 {
				t.Errorf("%+v", d.Fixes)
			}
			d.want(t, "files", doctor.OK, "", "")
			for file, mode := range map[string]fs.FileMode{path: 0o644, p.StateDir: 0o751, jobs: 0o711} {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s: %v %v", file, info.Mode(), err)
				}
			}
		},
		"leftovers": func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
			compare := p.Unchanged(t)
			s := p.Orphaned(t, harness.Job(t, "bookworm", "true"))
			noJob(t, p).want(t, "jobs", doctor.Warning, harness.JobName(t, s), "gitlab-sysbox-executor gc")
			d := examine(t, p, "--no-job", "--fix")
			if len(d.Fixes) != 1 || !d.Fixes[0].Done {
				t.Errorf("%+v", d.Fixes)
			}
			d.want(t, "jobs", doctor.OK, "no leftovers", "")
			compare()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prepare(t)
		})
	}
}

// mount mounts a file system until the test's end.
func mount(t *testing.T, dir, kind, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// The engine's files on a real file system with and without reflinks, where jobs get plain volumes.
func TestDoctorOnFileSystems(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"ext4": "volumes of the engine on ext4 without reflinks: vfs copies each layer in full, and a job can fill the disk",
		"xfs":  "volumes of the engine on XFS with reflinks: a job can fill the disk",
	} {
		dir := filepath.Join(t.TempDir(), kind)
		harness.SmallDisk(t, dir, kind)
		if err := os.Mkdir(filepath.Join(dir, "volumes"), 0o711); err != nil {
			t.Fatal(err)
		}
		cfg := config.Default()
		cfg.Storage.Backend, cfg.StateDir = "volume", filepath.Join(dir, "state")
		found := doctor.Examine(t.Context(), machineWith(cfg, engine.Info{Version: "28.5.2", Runtimes: []string{cfg.Runtime}, RootDir: dir}, ""))
		diagnosis{Findings: found}.want(t, "storage", doctor.Warning, want, "docs/storage.md")
		diagnosis{Findings: found}.want(t, "engine disk", doctor.Error, "free in "+dir, "storage.min_free") // it is small
	}
}

// A real cgroup v2 hierarchy. Beside cgroup v1 it has no controllers.
func TestDoctorOnCgroup2(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mount(t, filepath.Join(root, "sys/fs/cgroup"), "cgroup2", "")
	text, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup/cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	d := diagnosis{Findings: doctor.Examine(t.Context(), machineWith(config.Default(), engine.Info{Version: "28.5.2", CgroupVersion: "2", CgroupDriver: "systemd"}, root))}
	if has := strings.Fields(string(text)); strings.Contains(strings.Join(has, " "), "memory") {
		d.want(t, "cgroup", doctor.OK, "cgroup v2, driver systemd", "")
		return
	}
	d.want(t, "cgroup", doctor.Warning, "cgroup v2, driver systemd without cpu, memory, pids", "which controllers are still mounted as cgroup v1")
}

// answers is an engine that gives one answer about itself, and has no jobs.
type answers struct{ info engine.Info }

func (a answers) Info(context.Context) (engine.Info, error) { return a.info, nil }

func (answers) Jobs(context.Context) ([]overview.JobState, error) { return nil, nil }

func noCommand(context.Context, string, ...string) ([]byte, error) { return nil, fs.ErrNotExist }

func machineWith(cfg *config.Config, info engine.Info, root string) *doctor.Machine {
	return &doctor.Machine{
		Root: root, Config: cfg, ConfigPath: "/none/config.toml", RunnerConfig: "/none/runner.toml", Self: harness.World.Binary,
		Engine: answers{info}, Jobs: answers{}, Volumes: cfg.VolumeFolder(), Command: noCommand, UID: os.Geteuid(),
	}
}

// All is well, and a real job runs with each kind of storage volume.
func TestDoctorRunsJobs(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nsize = \"1GiB\""})
	if err := os.Mkdir(p.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	runnerSection(t, p)
	runnerProcess(t, p)
	compare := p.Unchanged(t)
	d := documented(t, p, "gitlab-sysbox-executor doctor --config config.toml --runner-config")
	for _, f := range d.Findings {
		standIn := f.Check == "sysbox" && harness.World.Runtime != "sysbox-runc" && strings.Contains(f.Next, "install Sysbox")
		if f.Severity.Above(doctor.Note) && !standIn {
			t.Errorf("%+v", f)
		}
	}
	d.want(t, "runner", doctor.OK, "at most 2 jobs at once", "")
	d.want(t, "job", doctor.OK, "a real job, on xfs-loop: ", "")
	d.want(t, "job", doctor.OK, "vfs copies layers with shared blocks", "")
	for _, other := range []string{"volume", "tmpfs"} {
		d.want(t, "job", doctor.OK, "beside it, "+other+": ", "")
	}
	compare()
	wantNoTrialImage(t, p)
}

// runnerProcess starts a process that looks like GitLab Runner's.
func runnerProcess(t *testing.T, p *harness.Place) {
	t.Helper()
	path := filepath.Join(p.Dir, "gitlab-runner")
	// Not by this process: one that another test starts meanwhile would have the open file (golang/go#22315).
	if _, err := harness.Command(time.Minute, "cp", "/bin/cat", path); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path)
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = c.Wait()
	})
}

func wantNoTrialImage(t *testing.T, p *harness.Place) {
	t.Helper()
	if id, err := harness.World.Engine.ImageID(t.Context(), "gitlab-sysbox-executor-doctor:"+statedir.Dir(p.StateDir).ID()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the trial image is left: %s %v", id, err)
	}
}

// A doctor that is killed leaves nothing: its child removes the job and the image. If that is killed, too, the
// next doctor finds them.
func TestKilledDoctor(t *testing.T) { // not parallel: it looks for leftovers on the whole engine
	for name, group := range map[string]bool{"alone": false, "with its child": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\"\n[storage]\nsize = \"512MiB\""})
			compare := p.Unchanged(t)
			c := exec.Command(harness.World.Binary, append([]string{"doctor"}, p.Runner.Driver.ConfigArgs[1:]...)...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			var child int
			await(t, "a job of doctor", func() bool {
				child = childOf(c.Process.Pid)
				found, err := os.ReadDir(statedir.Dir(p.StateDir).Jobs())
				return err == nil && len(found) > 0 && child != 0 && trialContainers(t, p) > 0
			})
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			if group {
				if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				d := examine(t, p, "--fix", "--no-job")
				if len(d.Fixes) == 0 || !d.Fixes[0].Done {
					t.Errorf("%+v", d.Fixes)
				}
				d.want(t, "jobs", doctor.OK, "no leftovers", "")
			} else {
				await(t, "the end of doctor's child", func() bool { return syscall.Kill(child, 0) != nil })
			}
			compare()
			wantNoTrialImage(t, p)
		})
	}
}

// await waits until a condition is true.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// childOf is a child process of any of a process's threads; 0 if there is none.
func childOf(pid int) (child int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range threads {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			_, _ = fmt.Sscan(string(text), &child)
		}
	}
	return child
}

// trialContainers counts the containers of a place.
func trialContainers(t *testing.T, p *harness.Place) int {
	t.Helper()
	found, err := harness.World.Engine.Containers(t.Context(), "io.gitlab-sysbox-executor.state="+statedir.Dir(p.StateDir).ID())
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func TestDoctorLooksAtImages(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Job: localImages})
	const buildah = "gsx-test/buildah" // as docs/doctor.md has it
	harness.Image(t, "buildah")
	noShell := harness.Image(t, "no-shell")
	compare := p.Unchanged(t)
	var d diagnosis
	// Tools have three seconds to say their versions, which a busy machine may exceed.
	silent := func(f doctor.Finding) bool { return f.Check == "tools" && f.Severity == doctor.Note }
	for tries := 0; tries < 5 && (tries == 0 || slices.ContainsFunc(d.Findings, silent)); tries++ {
		d = documented(t, p, "gitlab-sysbox-executor doctor --config config.toml --image")
	}
	d.want(t, "image", doctor.OK, buildah+": a job was prepared in", "")
	d.want(t, "first process", doctor.OK, "the agent; the image has no entrypoint", "")
	d.want(t, "user", doctor.OK, "scripts run as root (user ID 0)", "")
	d.want(t, "shell", doctor.OK, "/bash", "")
	d.want(t, "git", doctor.OK, "in the image", "")
	d.want(t, "storage.conf", doctor.OK, "the job sees driver vfs and /var/lib/containers/storage", "")
	d.want(t, "sub-ids", doctor.OK, "fit", "")
	d.want(t, "tools", doctor.OK, "buildah 1.28.2", "")
	d = examine(t, p, "--image", noShell)
	d.want(t, "image", doctor.Error, "has no shell: a job's script needs bash or sh in it", "correct the image")
	d = examine(t, p, "--image", "no image's name")
	d.want(t, "image", doctor.Error, "no image's name", "correct the image")
	compare()
}
