package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Play is a job that runs as the Runner runs it.
type Play struct {
	Log *Output // of all calls together, also across attempts

	runner Runner
	job    Job

	abort   context.CancelFunc
	done    chan struct{}
	outcome error

	mu       sync.Mutex
	cancel   context.CancelFunc // what a cancel from the web page ends at this point
	sessions []*Session
}

// Start begins a job.
func (r Runner) Start(job Job) *Play {
	r, job = r.withDefaults(), job.withDefaults()
	ctx, abort := context.WithTimeout(context.Background(), job.Timeout)
	p := &Play{Log: &Output{}, runner: r, job: job, abort: abort, cancel: abort, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer abort()
		p.outcome = p.play(ctx)
	}()
	return p
}

// Play runs a job to its end.
func (r Runner) Play(job Job) *Result { return r.Start(job).Wait() }

// Cancel is the web page's cancel: in the script it ends the script only, and
// after_script and what follows still run; before it everything but cleanup is
// left out; later it has no effect.
func (p *Play) Cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel()
}

// Abort is a hard cancel, or the Runner being told to end.
func (p *Play) Abort() { p.abort() }

// Session is the current attempt, nil before the first.
func (p *Play) Session() *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sessions) == 0 {
		return nil
	}
	return p.sessions[len(p.sessions)-1]
}

// Wait waits for the job's end. The job's timeout and the Runner's bound it.
func (p *Play) Wait() *Result {
	<-p.done
	result := &Result{Job: p.job, Outcome: Success, Err: p.outcome, Log: p.Log}
	var failure *Failure
	switch {
	case p.outcome == nil:
	case errors.As(p.outcome, &failure):
		result.Outcome, result.ExitCode = failure.Outcome, failure.ExitCode
	default:
		result.Outcome = SystemFailure
	}
	for _, s := range p.sessions {
		for _, process := range s.Processes() {
			select {
			case <-process.done:
				result.Calls = append(result.Calls, process.call)
			default:
				result.Abandoned = append(result.Abandoned, process)
			}
		}
	}
	return result
}

// errCanceled and errTimedOut are ends that aren't the driver's doing.
var (
	errCanceled = &Failure{Outcome: Canceled, Reason: "canceled"}
	errTimedOut = &Failure{Outcome: TimedOut, Reason: "execution took longer than the job's timeout"}
)

// ended is the failure that a context's end means.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errTimedOut
	}
	return errCanceled
}

func (p *Play) play(ctx context.Context) error {
	session, err := p.prepare(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	defer session.Cleanup()

	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	finished := make(chan error, 1)
	go func() { finished <- p.executeScript(runCtx, session) }()
	select {
	case err = <-finished:
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return err
	case <-ctx.Done():
	}
	select {
	case <-finished:
	case <-time.After(p.runner.FinishWait): // cleanup then runs beside run
	}
	return ended(ctx)
}

// prepare makes up to three attempts, each with a folder of its own and with a
// cleanup after its failure.
func (p *Play) prepare(ctx context.Context) (*Session, error) {
	var err error
	for range prepareAttempts {
		var session *Session
		session, err = p.attempt(ctx)
		if err == nil {
			return session, nil
		}
		if session == nil {
			return nil, err // not the driver's failure: the harness has no folder
		}
		session.Cleanup()
		_ = os.RemoveAll(session.Dir)
		if buildFailure(err) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ended(ctx)
		case <-time.After(p.runner.RetryPause):
		}
	}
	return nil, err
}

func (p *Play) attempt(ctx context.Context) (*Session, error) {
	session, err := p.runner.Open(p.job)
	if err != nil {
		return nil, fmt.Errorf("the harness itself: %w", err)
	}
	session.Log = p.Log
	p.mu.Lock()
	p.sessions = append(p.sessions, session)
	p.mu.Unlock()
	if _, err := session.Config(ctx); err != nil {
		return session, err
	}
	return session, session.Prepare(ctx).Err
}

// executeScript is the Runner's order of run stages.
func (p *Play) executeScript(ctx context.Context, s *Session) error {
	if err := p.stage(ctx, s, StagePrepareScript); err != nil {
		return err
	}
	err := p.sources(ctx, s)
	if err == nil {
		err = p.userScripts(ctx, s)
	}
	archive, upload := StageArchiveCache, StageUploadOnSuccess
	if err != nil {
		archive, upload = StageArchiveOnFailure, StageUploadOnFailure
	}
	archiveErr := p.stage(ctx, s, archive)
	uploadErr := p.stage(ctx, s, upload)
	_ = p.stage(ctx, s, StageCleanupFiles) // its failure changes nothing
	for _, e := range []error{err, archiveErr, uploadErr} {
		if e != nil {
			return e
		}
	}
	return nil
}

// stage runs one stage, unless the job is over or the stage is empty.
func (p *Play) stage(ctx context.Context, s *Session, name string) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if call := s.Run(ctx, name); call != nil {
		return call.Err
	}
	return nil
}

func (p *Play) attempts(s *Session, key string) int {
	n, err := strconv.Atoi(s.value(key))
	if err != nil {
		return 1
	}
	return min(10, max(1, n))
}

func (p *Play) sources(ctx context.Context, s *Session) error {
	var err error
	for i := range p.attempts(s, "GET_SOURCES_ATTEMPTS") {
		if i == 1 {
			if err = p.stage(ctx, s, StageClearWorktree); err != nil {
				continue
			}
		}
		if err = p.stage(ctx, s, StageGetSources); err == nil {
			break
		}
	}
	for _, next := range []struct{ stage, attempts string }{
		{StageRestoreCache, "RESTORE_CACHE_ATTEMPTS"},
		{StageDownload, "ARTIFACT_DOWNLOAD_ATTEMPTS"},
	} {
		for range p.attempts(s, next.attempts) {
			if err != nil {
				return err
			}
			if err = p.stage(ctx, s, next.stage); err == nil {
				break
			}
		}
	}
	return err
}

// userScripts runs the script's steps and after_script, which sees how the
// steps ended.
func (p *Play) userScripts(ctx context.Context, s *Session) error {
	scriptCtx, cancel := context.WithTimeout(ctx, s.duration("RUNNER_SCRIPT_TIMEOUT", p.job.Timeout))
	defer cancel()
	p.mu.Lock()
	p.cancel = cancel
	p.mu.Unlock()

	var err error
	for _, step := range s.Job.steps() {
		stage := "step_" + step.Name
		switch step.Name {
		case "after_script":
			continue
		case "script":
			stage = StageBuild
		}
		if err = p.stage(scriptCtx, s, stage); err != nil {
			break
		}
	}
	if ctx.Err() == nil && scriptCtx.Err() != nil {
		err = ended(scriptCtx)
	}

	status := "success"
	switch {
	case errors.Is(err, errCanceled):
		status = "canceled"
	case errors.Is(err, errTimedOut):
		status = "timedout"
	case err != nil:
		status = "failed"
	}
	s.SetStatus(status)

	afterCtx, cancelAfter := context.WithTimeout(ctx, s.duration("RUNNER_AFTER_SCRIPT_TIMEOUT", 5*time.Minute))
	defer cancelAfter()
	afterErr := p.stage(afterCtx, s, StageAfter)
	if err == nil && s.value("AFTER_SCRIPT_IGNORE_ERRORS") == "false" {
		err = afterErr
	}
	return err
}

func (s *Session) value(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vars.value(key)
}

func (s *Session) duration(key string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(s.value(key)); err == nil && d > 0 {
		return d
	}
	return otherwise
}
