package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
)

// Visitor is a person who enters a job.
type Visitor struct {
	Command []string // empty for a shell
	In      io.Reader
	Out     io.Writer
	// Window is the size of the person's terminal, Resized sends the new sizes, and Term is its type. Window is nil
	// without a terminal.
	Window  *agent.Window
	Resized <-chan agent.Window
	Term    string
}

// Enter runs a shell or a command in the container of the named job, as the job's user, until it ends or ctx does. gc
// does not remove the job meanwhile. A program that fails returns a *ScriptError. What it writes is the job's: it is
// copied as it is.
func (x *Executor) Enter(ctx context.Context, name string, v Visitor) error {
	defer x.Dir.Use(name)()
	content, there, err := journal.Read(x.Dir.Journals(), name)
	if err != nil {
		return err
	}
	var e job.Environment
	switch {
	case !there:
		return fmt.Errorf("%s has no journal in %s: it is not a job of this machine, or it has ended", name, x.Dir.Journals())
	case content.Ended:
		return fmt.Errorf("%s has ended, and its cleanup has begun", name)
	case len(content.Facts) == 0:
		return fmt.Errorf("%s has no prepared container yet", name)
	}
	if err := json.Unmarshal(content.Facts, &e); err != nil {
		return fmt.Errorf("the journal of %s: %w", name, err)
	}
	return x.Backend.Inside(e.Container, e.First, "the container of "+name).Enter(ctx, agentclient.Visit{
		Request: agent.EnterRequest{
			Shell: e.Shell, Command: v.Command, User: e.User, WorkingDir: e.WorkingDir, TMPDIR: e.TMPDIR, Init: e.Init, NoFile: e.NoFile,
			Window: v.Window, Term: v.Term,
		},
		In: v.In, Out: v.Out, Resized: v.Resized,
	})
}

// Keep keeps the job's resources for a time after the job, unless Remove removes them before. It fails if prepare has
// not succeeded.
func (x *Executor) Keep(ctx context.Context, i job.Identity, d time.Duration) error {
	unlock, err := x.Dir.Lock(ctx, i.Name())
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := x.Environment(i); err != nil {
		return err
	}
	j, err := x.journal(i)
	if err != nil {
		return err
	}
	return j.Keep(owner.Describe(os.Getpid()), d)
}

// Remove is Cleanup for a person: it refuses a job that runs.
func (x *Executor) Remove(ctx context.Context, i job.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, x.CleanupTimeout)
	defer cancel()
	left, err := x.Removal().Remove(ctx, i.Name())
	return x.cleared(ctx, i, left, err)
}
