package runner

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Call is one call of the driver and what came of it.
type Call struct {
	Stage    string // config, prepare, cleanup, or the run stage's name
	Args     []string
	Env      []string
	Started  time.Time
	Duration time.Duration
	Exit     int            // -1: ended by a signal, not started, or abandoned
	Signal   syscall.Signal // that ended it
	Err      error          // the Runner's reading of the exit status: nil or a *Failure
	MaxRSS   int64          // the driver's peak of resident memory, in bytes; 0 when it did not start, or ended before it could be seen
	Output   *Output
}

func (c *Call) String() string {
	return fmt.Sprintf("%s: exit %d, %v, %s\n%s", c.Stage, c.Exit, c.Err, c.Duration.Round(time.Millisecond), c.Output)
}

// Process is a call that runs.
type Process struct {
	session *Session
	call    *Call
	cmd     *exec.Cmd
	done    chan struct{}
}

// start runs the driver in a process group of its own, with the per-job
// temporary folder as working folder.
func (s *Session) start(stage string, args []string) *Process {
	output := &Output{tee: s.Log}
	p := &Process{
		session: s,
		call:    &Call{Stage: stage, Args: args, Env: s.environment(), Started: time.Now(), Exit: -1, Output: output},
		cmd:     exec.Command(s.runner.Driver.Path, args...),
		done:    make(chan struct{}),
	}
	stdout := &lineWriter{output: output, stage: stage, stream: Stdout}
	stderr := &lineWriter{output: output, stage: stage, stream: Stderr}
	p.cmd.Dir, p.cmd.Env = s.Dir, p.call.Env
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.record(p)

	if err := p.cmd.Start(); err != nil {
		p.call.Err = &Failure{Outcome: SystemFailure, Reason: fmt.Sprintf("failed to start command: %v", err)}
		close(p.done)
		return p
	}
	peak := watchMemory(p.Pid())
	go func() {
		// As in the Runner, this also waits for whoever else holds the streams.
		err := p.cmd.Wait()
		stdout.flush()
		stderr.flush()
		p.call.Duration = time.Since(p.call.Started)
		p.call.Exit = p.cmd.ProcessState.ExitCode()
		if usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			p.call.MaxRSS = peak(usage.Maxrss)
		}
		if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			p.call.Signal = status.Signal()
		}
		p.call.Err = s.judge(p.call.Exit)
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			p.call.Err = &Failure{Outcome: SystemFailure, Reason: err.Error()}
		}
		close(p.done)
	}()
	return p
}

// Pid is the driver's process number, which is also its group's; 0 if it did
// not start.
func (p *Process) Pid() int {
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Output is what the driver has written so far.
func (p *Process) Output() *Output { return p.call.Output }

// Terminate sends SIGTERM to the driver's process group.
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

// Kill sends SIGKILL to the driver's process group, which may have ended meanwhile.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func (p *Process) signal(sig syscall.Signal) error {
	if p.Pid() == 0 {
		return errors.New("the driver did not start")
	}
	return syscall.Kill(-p.Pid(), sig)
}

// Wait waits for the driver's end, at most so long.
func (p *Process) Wait(limit time.Duration) (*Call, error) {
	select {
	case <-p.done:
		return p.call, nil
	case <-time.After(limit):
		return nil, fmt.Errorf("%s did not end within %s; so far:\n%s", p.call.Stage, limit, p.call.Output)
	}
}

// await waits for the driver's end; when ctx ends first it does what the
// Runner does: SIGTERM, the graceful time, SIGKILL, the force time, give up.
func (p *Process) await(ctx context.Context) *Call {
	select {
	case <-p.done:
		return p.call
	case <-ctx.Done():
	}
	if p.Terminate() != nil {
		_ = p.Kill() // the Runner does so, too; the group may just have ended
	}
	if call, err := p.Wait(p.session.runner.GracefulKill); err == nil {
		return call
	}
	_ = p.Kill()
	if call, err := p.Wait(p.session.runner.ForceKill); err == nil {
		return call
	}
	// The real call may still end one day: its record is left alone.
	return &Call{
		Stage: p.call.Stage, Args: p.call.Args, Started: p.call.Started, Duration: time.Since(p.call.Started), Exit: -1,
		Output: p.call.Output, Err: &Failure{Outcome: SystemFailure, Reason: "failed to kill process, likely process is dormant"},
	}
}

// Value is a variable of the environment the call was given; the last of
// several counts, as in a process.
func (c *Call) Value(key string) string {
	for _, entry := range slices.Backward(c.Env) {
		if name, value, _ := strings.Cut(entry, "="); name == key {
			return value
		}
	}
	return ""
}
