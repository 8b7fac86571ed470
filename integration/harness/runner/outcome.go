package runner

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Outcome is what GitLab would be told of the job.
type Outcome string

// The outcomes, by GitLab's names.
const (
	Success            Outcome = "success"
	ScriptFailure      Outcome = "script_failure"
	SystemFailure      Outcome = "runner_system_failure"
	ConfigurationError Outcome = "runner_configuration_error"
	Canceled           Outcome = "job_canceled"
	TimedOut           Outcome = "job_execution_timeout"
)

// Failure is why a call or a job failed.
type Failure struct {
	Outcome  Outcome
	ExitCode int // of the job's script, for ScriptFailure
	Reason   string
}

func (f *Failure) Error() string { return string(f.Outcome) + ": " + f.Reason }

// buildFailure tells whether the Runner takes an error for final: such a one
// in prepare isn't retried.
func buildFailure(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Outcome != SystemFailure
}

// judge is the Runner's reading of a driver's exit status.
func (s *Session) judge(exit int) error {
	switch exit {
	case 0:
		return nil
	case s.runner.BuildFailureExit:
		return s.judgeBuildFailure()
	case s.runner.SystemFailureExit:
		return &Failure{Outcome: SystemFailure, Reason: fmt.Sprintf("exit status %d", exit)}
	default:
		return &Failure{Outcome: SystemFailure, Reason: fmt.Sprintf("unknown Custom executor executable exit code %d", exit)}
	}
}

func (s *Session) judgeBuildFailure() error {
	file, err := os.Open(s.CodeFile())
	if err != nil {
		return &Failure{Outcome: ScriptFailure, ExitCode: s.runner.BuildFailureExit, Reason: "exit status without a code file"}
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Scan()
	code, err := strconv.Atoi(scanner.Text())
	if err != nil {
		return &Failure{Outcome: SystemFailure, Reason: fmt.Sprintf("the code file's first line is %q", scanner.Text())}
	}
	return &Failure{Outcome: ScriptFailure, ExitCode: code, Reason: fmt.Sprintf("exit status %d", code)}
}
