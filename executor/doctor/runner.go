package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"gitlab-sysbox-executor/config"
)

// runnerFile is the part of GitLab Runner's config.toml that concerns this executor
// (gitlab-runner, common/config.go). Tags are not in it: GitLab has them.
type runnerFile struct {
	Concurrent int           `toml:"concurrent"`
	Runners    []runnerEntry `toml:"runners"`
}

type runnerEntry struct {
	Name      string       `toml:"name"`
	URL       string       `toml:"url"`
	Token     string       `toml:"token"` // only compared
	Executor  string       `toml:"executor"`
	Shell     string       `toml:"shell"`
	BuildsDir string       `toml:"builds_dir"`
	CacheDir  string       `toml:"cache_dir"`
	Custom    customRunner `toml:"custom"`
}

type customRunner struct {
	ConfigExec     string   `toml:"config_exec"`
	ConfigArgs     []string `toml:"config_args"`
	PrepareExec    string   `toml:"prepare_exec"`
	PrepareArgs    []string `toml:"prepare_args"`
	PrepareTimeout int      `toml:"prepare_exec_timeout"` // seconds, as those below
	RunExec        string   `toml:"run_exec"`
	RunArgs        []string `toml:"run_args"`
	CleanupExec    string   `toml:"cleanup_exec"`
	CleanupArgs    []string `toml:"cleanup_args"`
	CleanupTimeout int      `toml:"cleanup_exec_timeout"`
	GracefulKill   int      `toml:"graceful_kill_timeout"`
}

// stage is one of the four programs that the Runner calls.
type stage struct {
	name, program string
	args          []string
}

func (c customRunner) stages() []stage {
	return []stage{
		{"config", c.ConfigExec, c.ConfigArgs}, {"prepare", c.PrepareExec, c.PrepareArgs},
		{"run", c.RunExec, c.RunArgs}, {"cleanup", c.CleanupExec, c.CleanupArgs},
	}
}

// ours reports whether one of the programs is this executor.
func (m *Machine) ours(c customRunner) bool {
	return slices.ContainsFunc(c.stages(), func(s stage) bool { return m.isExecutor(s.program) })
}

// isExecutor reports whether path is this program, or has its name.
func (m *Machine) isExecutor(path string) bool {
	if path == "" {
		return false
	}
	if filepath.Base(path) == programName {
		return true
	}
	a, err := os.Stat(path)
	b, err2 := os.Stat(m.Self)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

const programName = "gitlab-sysbox-executor"

// checkRunner reads GitLab Runner's configuration.
func checkRunner(ctx context.Context, m *Machine) []Finding {
	var file runnerFile
	_, err := toml.DecodeFile(m.RunnerConfig, &file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found(Warning, "there is no "+m.RunnerConfig+": no jobs come to this machine",
			"register a runner (README.md, Install); if the file is elsewhere: doctor --runner-config FILE")
	case errors.Is(err, fs.ErrPermission):
		return found(Note, "the Runner's configuration cannot be read: "+err.Error(), "run doctor as root")
	case err != nil:
		// The library's message may repeat a line with a token.
		return found(Error, m.RunnerConfig+" is not valid TOML"+LineOf(err)+": the Runner does not read it", "correct it: gitlab-runner lint")
	}
	var all []Finding
	names := []string{}
	for n, r := range file.Runners {
		if r.Executor != "custom" || !m.ours(r.Custom) {
			continue
		}
		names = append(names, fmt.Sprintf("%q", r.Name))
		all = append(all, m.checkEntry(ctx, r)...)
		all = append(all, rivals(file.Runners, n)...)
	}
	if len(names) == 0 {
		return append(all, Finding{Severity: Error, Text: fmt.Sprintf("none of the %d runners in %s calls this executor", len(file.Runners), m.RunnerConfig),
			Next: "add executor = \"custom\" and the section [runners.custom] of README.md, Install"})
	}
	if mode, err := os.Stat(m.RunnerConfig); err == nil && mode.Mode().Perm()&0o077 != 0 {
		all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%s has mode %04o, and contains the runners' tokens", m.RunnerConfig, mode.Mode().Perm()), Next: "chmod 600 " + m.RunnerConfig})
	}
	all = append(all, m.checkProgram(ctx)...)
	if Worst(all).Above(Note) {
		return all
	}
	return append(all, Finding{Severity: OK, Text: fmt.Sprintf("%s of %s calls this executor; at most %d jobs at once", strings.Join(names, ", "), m.RunnerConfig, max(1, file.Concurrent))})
}

// LineOf is the place of a fault in a TOML file.
func LineOf(err error) string {
	if p, ok := errors.AsType[toml.ParseError](err); ok {
		return fmt.Sprintf(" (line %d)", p.Position.Line)
	}
	return ""
}

// defaultGracefulKill is the Runner's own time (gitlab-runner, helpers/process/killer.go).
const defaultGracefulKill = 10 * time.Minute

// checkEntry checks a runner that calls this executor.
func (m *Machine) checkEntry(ctx context.Context, r runnerEntry) (all []Finding) {
	add := func(s Severity, next, format string, args ...any) {
		all = append(all, Finding{Severity: s, Text: fmt.Sprintf("runner %q: ", r.Name) + fmt.Sprintf(format, args...), Next: next})
	}
	in := "in [runners.custom] of " + m.RunnerConfig
	for _, s := range r.Custom.stages() {
		m.checkStage(ctx, s, func(sev Severity, next, text string) { add(sev, next+" "+in, "%s", text) })
	}
	grace, kill := time.Duration(m.Config.Run.KillGrace), defaultGracefulKill
	if r.Custom.GracefulKill > 0 {
		kill = time.Duration(r.Custom.GracefulKill) * time.Second
	}
	switch {
	case kill <= grace:
		add(Error, fmt.Sprintf("set graceful_kill_timeout = %d %s, or lower run.kill_grace", int((grace+50*time.Second).Seconds()), in),
			"graceful_kill_timeout is %s, not above run.kill_grace, %s: the Runner kills a stage that still ends the job's processes", kill, grace)
	case kill >= time.Duration(config.RunnerPatience):
		add(Warning, fmt.Sprintf("set graceful_kill_timeout = %d %s", max(60, int((grace+50*time.Second).Seconds())), in),
			"graceful_kill_timeout is %s: after %s the Runner starts the cleanup, even if a stage still runs", kill, config.RunnerPatience)
	}
	if limit := time.Duration(r.Custom.CleanupTimeout) * time.Second; limit > 0 && limit <= time.Duration(m.Config.Cleanup.Timeout) {
		add(Warning, fmt.Sprintf("remove cleanup_exec_timeout %s, or set it above cleanup.timeout", in),
			"cleanup_exec_timeout is %s, not above cleanup.timeout, %s: the Runner kills a cleanup that is not finished", limit, m.Config.Cleanup.Timeout)
	}
	if r.Shell != "" && r.Shell != "bash" && r.Shell != "sh" {
		add(Error, "remove shell from this runner in "+m.RunnerConfig, "shell is %q: jobs of this executor have bash or sh", r.Shell)
	}
	// The answer of the config stage replaces both (gitlab-runner, executors/custom/custom.go, InjectInto).
	for _, d := range []struct{ key, value, own, ours string }{
		{"builds_dir", r.BuildsDir, m.Config.Job.BuildsDir, "job.builds_dir"}, {"cache_dir", r.CacheDir, m.Config.Job.CacheDir, "job.cache_dir"},
	} {
		if d.value != "" && d.value != d.own {
			add(Note, fmt.Sprintf("remove %s from %s, or set %s in %s", d.key, m.RunnerConfig, d.ours, m.ConfigPath),
				"%s %q has no effect: the executor answers %q (%s)", d.key, d.value, d.own, d.ours)
		}
	}
	return all
}

// checkStage checks one of the four programs.
func (m *Machine) checkStage(ctx context.Context, s stage, add func(s Severity, next, text string)) {
	key := s.name + "_exec"
	right := fmt.Sprintf("set %s = %q and %s_args = [%q]", key, m.Self, s.name, s.name)
	if s.program == "" {
		add(Error, right, key+" is missing: the Runner skips this stage, and no job works without it")
		return
	}
	info, err := os.Stat(s.program)
	switch {
	case !filepath.IsAbs(s.program):
		add(Warning, right, fmt.Sprintf("%s = %q is not an absolute path: it depends on the Runner's PATH or working folder", key, s.program))
	case err != nil:
		add(Error, right, fmt.Sprintf("%s: %v", key, err))
		return
	case info.IsDir() || info.Mode()&0o111 == 0:
		add(Error, right, fmt.Sprintf("%s = %q is not an executable file", key, s.program))
		return
	case !m.isExecutor(s.program):
		add(Error, right, fmt.Sprintf("%s = %q is not this executor", key, s.program))
		return
	}
	command, file := words(s.args)
	if command != s.name {
		add(Error, right, fmt.Sprintf("%s_args calls the command %q, not %q", s.name, command, s.name))
		return
	}
	if !samePath(file, m.ConfigPath) {
		add(Warning, "run doctor --config "+file+" to check that file, or correct --config", fmt.Sprintf("%s_args reads the configuration %s, and this command read %s", s.name, file, m.ConfigPath))
	}
	if other, err := os.Stat(m.Self); err == nil && info != nil && !os.SameFile(info, other) {
		if out, err := m.Command(ctx, s.program, "version"); err == nil && strings.TrimSpace(string(out)) != m.Version {
			add(Note, "run doctor by the program that the Runner calls, named", fmt.Sprintf("%s is version %.50q, and this program is %s", s.program, strings.TrimSpace(string(out)), m.Version))
		}
	}
}

// words returns the command and the configuration file in the arguments of a stage.
func words(args []string) (command, file string) {
	file = config.DefaultPath
	for n := 0; n < len(args); n++ {
		switch value, ok := strings.CutPrefix(args[n], "--config="); {
		case ok:
			file = value
		case args[n] == "--config" && n+1 < len(args):
			n++
			file = args[n]
		case command == "":
			command = args[n]
		}
	}
	return command, file
}

// samePath reports whether two paths name the same file.
func samePath(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// rivals reports runners that may take jobs meant for the nth one, or the other way round.
func rivals(all []runnerEntry, n int) (found []Finding) {
	var others []string
	for i, r := range all {
		if i == n || r.URL != all[n].URL || r.Executor == "custom" {
			continue
		}
		if r.Token != "" && r.Token == all[n].Token {
			found = append(found, Finding{Severity: Error,
				Text: fmt.Sprintf("runners %q and %q have the same token: GitLab takes both for one runner with the same tags, so a job goes to either executor (custom or %s)", all[n].Name, r.Name, r.Executor),
				Next: "register a runner of its own for this executor, with its own tag"})
			continue
		}
		others = append(others, fmt.Sprintf("%q (%s)", r.Name, r.Executor))
	}
	if len(others) > 0 {
		found = append(found, Finding{Severity: Note,
			Text: fmt.Sprintf("runner %q: other executors serve the same GitLab: %s; tags are not in this file, so whether they share one is not known", all[n].Name, strings.Join(others, ", ")),
			Next: "look in GitLab (Settings, CI/CD, Runners) that no other runner has the tag of this one"})
	}
	return found
}
