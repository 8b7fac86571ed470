package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"gitlab.com/gitlab-org/gitlab-runner/executors/custom/api"
)

// Session is one attempt at a job: what the Runner keeps from a temporary
// folder's making to its removal. [Runner.Start] plays whole jobs; a Session
// is for tests that call single stages by hand.
type Session struct {
	Job Job
	Dir string  // the per-job temporary folder
	Log *Output // of all calls together

	runner Runner

	mu       sync.Mutex
	work     workspace
	vars     variableList
	jobEnv   map[string]string
	shell    string
	hostname string
	running  []*Process
}

// Open makes the temporary folder and JOB_RESPONSE_FILE. Close it in the end.
func (r Runner) Open(job Job) (*Session, error) {
	r, job = r.withDefaults(), job.withDefaults()
	if r.Opened != nil {
		r.Opened(job)
	}
	dir, err := os.MkdirTemp(r.TempRoot, "custom-executor")
	if err != nil {
		return nil, err
	}
	s := &Session{Job: job, Dir: dir, Log: &Output{}, runner: r, shell: job.Shell, hostname: job.Hostname, vars: job.allVariables(workspace{})}
	body, err := job.payload()
	if err != nil {
		return nil, fmt.Errorf("encoding the job's payload: %w", err)
	}
	if err := os.WriteFile(s.ResponseFile(), body, 0o600); err != nil {
		return nil, err
	}
	return s, nil
}

// Close removes the temporary folder.
func (s *Session) Close() error { return os.RemoveAll(s.Dir) }

// ResponseFile is JOB_RESPONSE_FILE.
func (s *Session) ResponseFile() string { return filepath.Join(s.Dir, "response.json") }

// CodeFile is BUILD_EXIT_CODE_FILE, one path for the whole job; nobody but the
// driver removes it.
func (s *Session) CodeFile() string { return filepath.Join(s.Dir, "build_exit_code") }

// Processes are all calls so far, the last one at the end.
func (s *Session) Processes() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.running)
}

func (s *Session) record(p *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = append(s.running, p)
}

// SetStatus changes CI_JOB_STATUS for the calls that follow.
func (s *Session) SetStatus(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vars[s.vars.index("CI_JOB_STATUS")].Value = status
}

// environment is the driver's: the Runner's own, the contract's, job_env, then
// the job's variables, those of type file as content.
func (s *Session) environment() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := append(os.Environ(), s.runner.Env...)
	env = append(env,
		"TMPDIR="+s.Dir,
		api.BuildFailureExitCodeVariable+"="+strconv.Itoa(s.runner.BuildFailureExit),
		api.SystemFailureExitCodeVariable+"="+strconv.Itoa(s.runner.SystemFailureExit),
		api.BuildCodeFileVariable+"="+s.CodeFile(),
		api.JobResponseFileVariable+"="+s.ResponseFile(),
	)
	for k, v := range s.jobEnv {
		env = append(env, k+"="+v)
	}
	for _, v := range append(slices.Clone(s.vars), s.Job.servicesVariable(s.vars)) {
		env = append(env, "CUSTOM_ENV_"+v.Key+"="+v.Value)
	}
	return env
}

// Config calls config and takes over what it prints. The returned error is
// what the Runner makes of it.
func (s *Session) Config(ctx context.Context) (*Call, error) {
	ctx, cancel := context.WithTimeout(ctx, s.runner.StageTimeout)
	defer cancel()
	call := s.start("config", s.runner.Driver.ConfigArgs).await(ctx)
	if call.Err != nil {
		return call, call.Err
	}
	if err := s.apply(call.Output.Of(Stdout)); err != nil {
		return call, err
	}
	return call, nil
}

// apply takes over config's output.
func (s *Session) apply(output string) error {
	var config api.ConfigExecOutput
	if output != "" {
		if err := json.Unmarshal([]byte(output), &config); err != nil {
			return &Failure{Outcome: SystemFailure, Reason: fmt.Sprintf("error while parsing JSON output: %v", err)}
		}
	}
	set := func(field *string, values ...*string) {
		for _, v := range values {
			if v != nil {
				*field = *v
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := config.BuildsDirIsShared != nil && *config.BuildsDirIsShared
	buildsDir, cacheDir := s.Job.BuildsDir, s.Job.CacheDir
	set(&buildsDir, config.BuildsDir)
	set(&cacheDir, config.CacheDir)
	set(&s.hostname, config.Hostname)
	set(&s.shell, config.Shell)
	if config.JobEnv != nil {
		s.jobEnv = *config.JobEnv
	}
	if buildsDir == "" || cacheDir == "" {
		return &Failure{Outcome: ConfigurationError, Reason: "builds_dir or cache_dir is not configured"}
	}
	s.work = workspace{
		buildsDir:  buildsDir,
		projectDir: s.Job.projectDir(buildsDir, shared),
		cacheDir:   s.Job.projectDir(cacheDir, false),
	}
	s.vars = s.Job.allVariables(s.work)
	return nil
}

// Prepare calls prepare.
func (s *Session) Prepare(ctx context.Context) *Call {
	ctx, cancel := context.WithTimeout(ctx, s.runner.StageTimeout)
	defer cancel()
	return s.StartPrepare().await(ctx)
}

// StartPrepare starts prepare for a test that interrupts it.
func (s *Session) StartPrepare() *Process { return s.start("prepare", s.runner.Driver.PrepareArgs) }

// Script is what the Runner generates for a stage, "" if it skips the stage.
func (s *Session) Script(stage string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return scripts{job: s.Job, work: s.work, vars: s.vars, shell: s.shell, hostname: s.hostname}.of(stage)
}

// Run calls run for a stage. It is nil where the Runner skips the stage.
func (s *Session) Run(ctx context.Context, stage string) *Call {
	script := s.Script(stage)
	if script == "" {
		return nil
	}
	return s.RunScript(ctx, stage, script)
}

// RunScript calls run with a script of the test's own.
func (s *Session) RunScript(ctx context.Context, stage, script string) *Call {
	return s.StartRun(stage, script).await(ctx)
}

// StartRun starts run for a test that interrupts it.
func (s *Session) StartRun(stage, script string) *Process {
	dir, err := os.MkdirTemp(s.Dir, "script")
	if err != nil {
		return s.notStarted(stage, err)
	}
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		return s.notStarted(stage, err)
	}
	return s.start(stage, append(slices.Clone(s.runner.Driver.RunArgs), file, stage))
}

func (s *Session) notStarted(stage string, err error) *Process {
	p := &Process{
		session: s, done: make(chan struct{}), cmd: nil,
		call: &Call{Stage: stage, Exit: -1, Output: &Output{}, Err: &Failure{Outcome: SystemFailure, Reason: err.Error()}},
	}
	close(p.done)
	return p
}

// Cleanup calls cleanup. It has no context: nothing cancels it but its time.
func (s *Session) Cleanup() *Call {
	ctx, cancel := context.WithTimeout(context.Background(), s.runner.StageTimeout)
	defer cancel()
	return s.StartCleanup().await(ctx)
}

// StartCleanup starts cleanup for a test that interrupts it.
func (s *Session) StartCleanup() *Process { return s.start("cleanup", s.runner.Driver.CleanupArgs) }
