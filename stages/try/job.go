package try

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gitlab.com/gitlab-org/gitlab-runner/executors/custom/api"

	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/script"
)

// tryJob is a job from the command line.
type tryJob struct {
	image      string
	variables  []string
	services   []string
	lines      []string
	configPath string

	out, errOut io.Writer // of each call

	dir  string   // for the files that the Runner would pass
	env  []string // of each call
	vars []script.Variable
}

// tryProject is the ID of the project of every tried job.
const tryProject = 1

// trySystemFailure differs from any exit code of the job's script.
const trySystemFailure = 2

func (j *tryJob) begin(buildsDir string) (err error) {
	for _, kv := range j.variables {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return fmt.Errorf("--variable %q is not NAME=value", kv)
		}
		j.vars = append(j.vars, script.Variable{Name: name, Value: value})
	}
	if j.dir, err = os.MkdirTemp("", "gitlab-sysbox-try-"); err != nil {
		return err
	}
	// A number that no concurrent try on this machine has.
	id := time.Now().UnixMicro()
	project := path.Join(buildsDir, "try/project")
	job := contract.Job{ID: id, Info: contract.JobInfo{ProjectID: tryProject, PipelineID: id}, Git: contract.GitInfo{RepoURL: "https://" + contract.TryServer + "/try/project.git"}}
	job.Image.Name = j.image
	for _, s := range j.services {
		service := contract.Image{Name: s}
		if alias, name, ok := strings.Cut(s, "="); ok {
			service = contract.Image{Name: name, Alias: alias}
		}
		job.Services = append(job.Services, service)
	}
	predefined := []script.Variable{
		{Name: "CI", Value: "true"},
		{Name: "CI_JOB_ID", Value: strconv.FormatInt(id, 10)},
		{Name: "CI_PROJECT_ID", Value: strconv.Itoa(tryProject)},
		{Name: "CI_PIPELINE_ID", Value: strconv.FormatInt(id, 10)},
		{Name: "CI_CONCURRENT_ID", Value: "0"},
		{Name: "CI_BUILDS_DIR", Value: buildsDir},
		{Name: "CI_PROJECT_DIR", Value: project},
		{Name: "GIT_STRATEGY", Value: "none"},
	}
	if j.image != "" {
		predefined = append(predefined, script.Variable{Name: "CI_JOB_IMAGE", Value: j.image})
	}
	j.vars = append(predefined, j.vars...)
	for _, v := range j.vars {
		job.Variables = append(job.Variables, contract.Variable{Key: v.Name, Value: v.Value, Public: true})
	}
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	payload := filepath.Join(j.dir, "response.json")
	if err := os.WriteFile(payload, text, 0o600); err != nil {
		return err
	}
	j.env = append(os.Environ(), "TMPDIR="+j.dir,
		api.BuildFailureExitCodeVariable+"=1",
		fmt.Sprintf("%s=%d", api.SystemFailureExitCodeVariable, trySystemFailure),
		api.BuildCodeFileVariable+"="+j.codeFile(),
		api.JobResponseFileVariable+"="+payload)
	for _, v := range j.vars {
		j.env = append(j.env, contract.VariablePrefix+v.Name+"="+v.Value)
	}
	return nil
}

func (j *tryJob) codeFile() string { return filepath.Join(j.dir, "exit_code") }

// call runs one of this binary's commands as the Runner does: in a process group of its own,
// which gets TERM when ctx ends.
func (j *tryJob) call(ctx context.Context, self string, args ...string) error {
	if j.configPath != "" {
		args = append([]string{"--config", j.configPath}, args...)
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Dir, c.Env = j.dir, j.env
	c.Stdout, c.Stderr = j.out, j.errOut
	if args[len(args)-1] == "config" {
		c.Stdout = nil // only the Runner needs the answer
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	return c.Run()
}

// code returns the exit code of try: the script's own, or that of a system failure.
func (j *tryJob) code(err error) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 {
		return trySystemFailure
	}
	text, err := os.ReadFile(j.codeFile())
	if err != nil {
		return 1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 1
	}
	return n
}

type tryScript struct{ Stage, path string }

// scripts returns the stages' scripts in the Runner's form.
func (j *tryJob) scripts() []tryScript {
	project := j.value("CI_PROJECT_DIR")
	var exports strings.Builder
	for _, v := range j.vars {
		fmt.Fprintf(&exports, "export %s=%s\n", v.Name, script.Quote(v.Value))
	}
	prepare := "echo \"Running on $(cat /etc/hostname) ...\"\n"
	build := exports.String() + "mkdir -p " + script.Quote(project) + "\ncd " + script.Quote(project) + "\n"
	for _, line := range j.lines {
		build += "echo " + script.Quote("\x1b[32;1m$ "+strings.ReplaceAll(line, "\n", "\n$ ")+app.Reset) + "\n" + line + "\n"
	}
	var all []tryScript
	for _, s := range []struct{ stage, body string }{{"prepare_script", prepare}, {"build_script", build}} {
		file := filepath.Join(j.dir, s.stage)
		if err := os.WriteFile(file, script.Wrap(s.body), 0o700); err != nil {
			continue // the run stage reports that it is missing
		}
		all = append(all, tryScript{s.stage, file})
	}
	return all
}

func (j *tryJob) value(name string) string {
	for _, v := range j.vars {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
