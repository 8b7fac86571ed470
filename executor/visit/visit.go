// Package visit lets a person into a job: it runs a shell in the job's container, and keeps the job for a look.
package visit

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
	"gitlab-sysbox-executor/executor/statedir"
)

// Door leads into the jobs of one state folder. Its methods are safe for concurrent use.
type Door struct {
	Dir statedir.Dir
	// Inside gives access to the agent in a container, as executor.Backend does.
	Inside func(id string, first owner.Process, name string) agentclient.Container
}

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
// does not remove the job meanwhile. A program that fails returns a *agentclient.ScriptError. What it writes is the job's: it is
// copied as it is.
func (d Door) Enter(ctx context.Context, name string, v Visitor) error {
	defer d.Dir.Use(name)()
	content, there, err := journal.Read(d.Dir.Journals(), name)
	if err != nil {
		return err
	}
	var e job.Environment
	switch {
	case !there:
		return fmt.Errorf("%s has no journal in %s: it is not a job of this machine, or it has ended", name, d.Dir.Journals())
	case content.Ended:
		return fmt.Errorf("%s has ended, and its cleanup has begun", name)
	case len(content.Facts) == 0:
		return fmt.Errorf("%s has no prepared container yet", name)
	}
	if err := json.Unmarshal(content.Facts, &e); err != nil {
		return fmt.Errorf("the journal of %s: %w", name, err)
	}
	return d.Inside(e.Container, e.First, "the container of "+name).Enter(ctx, agentclient.Visit{
		Request: agent.EnterRequest{
			Shell: e.Shell, Command: v.Command, User: e.User, WorkingDir: e.WorkingDir, TMPDIR: e.TMPDIR, Init: e.Init, NoFile: e.NoFile,
			Window: v.Window, Term: v.Term,
		},
		In: v.In, Out: v.Out, Resized: v.Resized,
	})
}

// Keep keeps the resources of the named job for a time after the job, unless they are removed before. It fails if
// prepare has not succeeded.
func (d Door) Keep(ctx context.Context, name string, long time.Duration) error {
	unlock, err := d.Dir.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	j, _, err := journal.Open(d.Dir.Journals(), name)
	if err != nil {
		return err
	}
	if len(j.Content().Facts) == 0 {
		return fmt.Errorf("%s has no prepared container", name)
	}
	return j.Keep(owner.Describe(os.Getpid()), long)
}
