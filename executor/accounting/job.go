package accounting

import (
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
)

// Result is the result of a stage or a job.
type Result string

// The results.
const (
	Success       Result = "success"
	ScriptFailure Result = "script_failure" // a script ended with another exit code than 0
	JobFault      Result = "job_fault"      // the job's definition is at fault: another attempt would fail in the same way
	SystemFailure Result = "system_failure" // the machine, the engine or the network
	Canceled      Result = "canceled"       // the Runner ended it: cancelled, timed out, or the Runner stops
	Unknown       Result = "unknown"        // nothing could be recorded, for example because the disk was full
)

// Results are all results.
var Results = []Result{Success, ScriptFailure, JobFault, SystemFailure, Canceled, Unknown}

// Class is what a failure of the system is about; empty for other results.
type Class string

// The classes, in addition to those of Prepare.
const (
	Engine           Class = "engine"            // it cannot be reached
	Disk             Class = "disk"              // there is not enough space for the job
	ContainerStopped Class = "container_stopped" // the job container was stopped from outside
	DriverKilled     Class = "driver_killed"     // the process of a stage ended without a result
	RunnerGone       Class = "runner_gone"       // the Runner ended before the job
	Other            Class = "other"
)

// Prepare is the class of a failure in a step of prepare.
func Prepare(s observe.Step) Class { return "prepare_" + Class(s) }

// Classes are all classes.
func Classes() []Class {
	all := []Class{Engine, Disk, ContainerStopped, DriverKilled, RunnerGone, Other}
	for _, s := range observe.Steps {
		all = append(all, Prepare(s))
	}
	return all
}

// Outcome is how a stage or a job ended.
type Outcome struct {
	Result Result `json:"result"`
	Class  Class  `json:"class,omitempty"`
}

// By is who found that a job is over.
type By string

// The finders.
const (
	ByCleanup By = "cleanup" // the Runner called cleanup
	ByStage   By = "stage"   // a stage saw that the Runner has ended
	ByGC      By = "gc"      // gc found the job without a Runner
	ByTime    By = "time"    // no further attempt came after a failed prepare
)

// The stages that are not the Runner's run stages, and those with a special meaning.
const (
	StagePrepare = "prepare"
	StageCleanup = "cleanup"
)

// Authors reports whether a stage of the Runner has the script of the job's author.
func Authors(stage string) bool { return stage == "build_script" || strings.HasPrefix(stage, "step_") }

// Ignored reports whether a job may succeed although this stage fails. The after_script depends on the
// job: the caller decides (GitLab Runner, common/build.go: executeScript).
func Ignored(stage string) bool {
	return slices.Contains([]string{"clear_worktree", "cleanup_file_variables", StageCleanup}, stage)
}

// Stage is one call for a job. Seconds is not known if the call was killed.
type Stage struct {
	Stage string
	Outcome
	Began   time.Time
	Seconds float64
	Killed  bool
	observe.Seen

	id      string
	ignored bool
}

// Job is a job according to its file. Sizes are in bytes.
type Job struct {
	Name     string
	Identity job.Identity
	Outcome
	// Failed is the stage that decided the result; empty if none failed.
	Failed       string
	Began, Ended time.Time
	By           By
	Attempts     int // prepares
	Stages       []Stage

	owner owner.Process
	over  bool
	lost  int // unreadable lines
}

// Seen is what all stages of the job did together. Its image is that of the last attempt.
func (j Job) Seen() observe.Seen {
	var all observe.Seen
	for _, s := range j.Stages {
		all.Steps, all.Pulls = append(all.Steps, s.Steps...), append(all.Pulls, s.Pulls...)
		all.Containers, all.Retries, all.Peak = all.Containers+s.Containers, all.Retries+s.Retries, max(all.Peak, s.Peak)
		if s.Image != "" {
			all.Image, all.Digest = s.Image, s.Digest
		}
		for kind, n := range s.Left {
			if all.Left == nil {
				all.Left = map[string]int{}
			}
			all.Left[kind] += n
		}
	}
	return all
}

// Duration is the time from the begin of the first prepare to the end; zero if one of them is unknown.
func (j Job) Duration() time.Duration {
	if j.Began.IsZero() || j.Ended.Before(j.Began) {
		return 0
	}
	return j.Ended.Sub(j.Began)
}

// lastSeen is the end of the job's last call that ended.
func (j Job) lastSeen() time.Time {
	last := j.Began
	for _, s := range j.Stages {
		if end := s.Began.Add(time.Duration(s.Seconds * float64(time.Second))); end.After(last) {
			last = end
		}
	}
	return last
}

// summary is the job of these lines.
func summary(name string, lines []line) Job {
	j := Job{Name: name, Outcome: Outcome{Result: Unknown}}
	for _, l := range lines {
		if j.over {
			break
		}
		switch {
		case l.Begin != nil:
			j.begin(*l.Begin)
		case l.End != nil:
			j.end(*l.End)
		case l.Over != nil:
			j.over, j.Ended, j.By = true, l.Over.At, l.Over.By
		}
	}
	j.decide()
	return j
}

func (j *Job) begin(b begin) {
	if b.Stage == StagePrepare {
		j.Attempts++
	}
	if b.Stage == StagePrepare || j.Identity == (job.Identity{}) {
		j.Identity = b.Identity
	}
	if b.Owner.PID != 0 {
		j.owner = b.Owner
	}
	if j.Began.IsZero() {
		j.Began = b.At
	}
	j.Stages = append(j.Stages, Stage{
		Stage: b.Stage, Began: b.At, Killed: true, Outcome: Outcome{SystemFailure, DriverKilled}, id: b.ID, ignored: b.Ignored,
	})
}

func (j *Job) end(e end) {
	n := slices.IndexFunc(j.Stages, func(s Stage) bool { return s.id == e.ID })
	if n < 0 { // the line of its begin is lost
		return
	}
	s := &j.Stages[n]
	s.Outcome, s.Seconds, s.Seen, s.Killed = e.Outcome, e.Seconds, e.Seen, false
}

// attempt are the stages from the last prepare on.
func (j *Job) attempt() []Stage {
	for n := len(j.Stages) - 1; n >= 0; n-- {
		if j.Stages[n].Stage == StagePrepare {
			return j.Stages[n:]
		}
	}
	return j.Stages
}

// decide finds the result. The Runner repeats some stages: the last call of each counts. The first stage
// that failed decides, as in GitLab Runner.
func (j *Job) decide() {
	stages := j.attempt()
	if len(stages) == 0 {
		return
	}
	last := map[string]Stage{}
	authors, cleaned := false, false
	for _, s := range stages {
		last[s.Stage] = s
		authors = authors || Authors(s.Stage)
		cleaned = cleaned || s.Stage == StageCleanup
	}
	j.Outcome = Outcome{Result: Success}
	if !authors { // the Runner ended the job before its script
		j.Outcome = Outcome{Result: Canceled}
	}
	for _, s := range stages {
		if s = last[s.Stage]; s.Result != Success && !s.ignored {
			j.Outcome, j.Failed = s.Outcome, s.Stage
			return
		}
	}
	if j.By == ByStage || j.By == ByGC && !cleaned {
		j.Outcome = Outcome{SystemFailure, RunnerGone}
	}
}

// mayComeAgain reports whether the Runner may try the job again: it repeats a prepare that failed
// because of the system, three times by default (GitLab Runner, common/build.go: retryCreateExecutor).
func (j *Job) mayComeAgain() bool {
	if j.Result != SystemFailure || j.Failed != StagePrepare || j.Class == RunnerGone {
		return false
	}
	return !slices.ContainsFunc(j.attempt(), func(s Stage) bool { return s.Stage != StagePrepare && s.Stage != StageCleanup })
}
