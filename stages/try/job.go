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

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/ciyaml"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/script"
)

// tryJob is a job from the command line.
type tryJob struct {
	ciyaml.Job
	project    *project // nil without one
	configPath string

	out, errOut io.Writer // of each call

	id   int64
	dir  string   // for the files that the Runner would pass
	env  []string // of each call
	vars []script.Variable
}

// tryProject is the ID of the project of every tried job.
const tryProject = 1

// trySystemFailure differs from any exit code of the job's script.
const trySystemFailure = 2

// begin makes the files and the environment of the calls.
func (j *tryJob) begin(buildsDir string) (err error) {
	// A number that no concurrent try on this machine has.
	j.id = time.Now().UnixMicro()
	if j.vars, err = expand(append(j.predefined(buildsDir), j.Variables...)); err != nil {
		return err
	}
	payload := contract.Job{ID: j.id, Info: contract.JobInfo{ProjectID: tryProject, PipelineID: j.id}, Git: contract.GitInfo{RepoURL: "https://" + contract.TryServer + "/try/project.git"}}
	if payload.Image, err = payloadImage(j.Image, j.vars); err != nil {
		return err
	}
	if payload.Image.Name != "" {
		j.vars = append(j.vars, script.Variable{Name: "CI_JOB_IMAGE", Value: payload.Image.Name})
	}
	for _, s := range j.Services {
		service, err := payloadImage(s, j.vars)
		if err != nil {
			return err
		}
		payload.Services = append(payload.Services, service)
	}
	for _, v := range j.vars {
		payload.Variables = append(payload.Variables, contract.Variable{Key: v.Name, Value: v.Value, Public: true, Raw: true})
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	if j.dir, err = os.MkdirTemp("", "gitlab-sysbox-try-"); err != nil {
		return err
	}
	file := filepath.Join(j.dir, "response.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	j.env = append(os.Environ(), "TMPDIR="+j.dir,
		api.BuildFailureExitCodeVariable+"=1",
		fmt.Sprintf("%s=%d", api.SystemFailureExitCodeVariable, trySystemFailure),
		api.BuildCodeFileVariable+"="+j.codeFile(),
		api.JobResponseFileVariable+"="+file)
	for _, v := range j.vars {
		j.env = append(j.env, contract.VariablePrefix+v.Name+"="+v.Value)
	}
	return nil
}

// predefined are the variables that GitLab and the Runner set.
func (j *tryJob) predefined(buildsDir string) []ciyaml.Variable {
	id := strconv.FormatInt(j.id, 10)
	all := []ciyaml.Variable{
		{Name: "CI", Value: "true"},
		{Name: "CI_JOB_ID", Value: id},
		{Name: "CI_PROJECT_ID", Value: strconv.Itoa(tryProject)},
		{Name: "CI_PIPELINE_ID", Value: id},
		{Name: "CI_CONCURRENT_ID", Value: "0"},
		{Name: "CI_BUILDS_DIR", Value: buildsDir},
		{Name: "CI_PROJECT_DIR", Value: path.Join(buildsDir, "try/project")},
	}
	if j.Name != "" {
		all = append(all, ciyaml.Variable{Name: "CI_JOB_NAME", Value: j.Name}, ciyaml.Variable{Name: "CI_JOB_STAGE", Value: j.Stage})
	}
	if j.project == nil {
		all = append(all, ciyaml.Variable{Name: "GIT_STRATEGY", Value: "none"})
	} else {
		all = append(all, j.project.variables()...)
	}
	for n := range all {
		all[n].Raw = true
	}
	return all
}

// identity identifies the job as its stages do.
func (j *tryJob) identity() (job.Identity, error) {
	call, err := contract.ReadCall(j.env)
	if err != nil {
		return job.Identity{}, err
	}
	return call.Identity()
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

// writeScript writes the script of a stage in the Runner's form, and returns its path.
func (j *tryJob) writeScript(stage, commands string) (string, error) {
	file := filepath.Join(j.dir, stage)
	return file, os.WriteFile(file, script.Wrap(commands), 0o700)
}

// commands are the commands of a stage with lines of the job's author. The variables more are set in addition.
func (j *tryJob) commands(lines []string, more ...script.Variable) string {
	project := script.Quote(j.value("CI_PROJECT_DIR"))
	var b strings.Builder
	for _, v := range append(j.vars[:len(j.vars):len(j.vars)], more...) {
		fmt.Fprintf(&b, "export %s=%s\n", v.Name, script.Quote(v.Value))
	}
	b.WriteString("mkdir -p " + project + "\ncd " + project + "\n")
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		b.WriteString("echo " + script.Quote("\x1b[32;1m$ "+strings.ReplaceAll(line, "\n", "\n$ ")+app.Reset) + "\n" + line + "\n")
	}
	return b.String()
}

func (j *tryJob) value(name string) string {
	for _, v := range j.vars {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
