package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/visit"
	"gitlab-sysbox-executor/stages/app"
)

// enterCommand opens a shell in a job.
func enterCommand(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "enter JOB [-- COMMAND [ARGUMENT]...]",
		Short: "Open a shell in a job on this machine",
		Long: `Open a shell in the container of a job on this machine, or run a command there,
as the job's user and with the job's variables, in the folder of its project.
JOB is the number that ps prints, or the name that ps --json prints.

Without a terminal the shell reads commands from standard input. The exit code
is that of the shell or the command. Everything that was started there ends
with it, also if the terminal goes away. The job goes on.

The output is the job's: a hostile job can send any control sequence to your
terminal.`,
		Example: `  gitlab-sysbox-executor enter 1795314723902192
  gitlab-sysbox-executor enter 1795314723902192 -- cat /etc/os-release`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 && c.ArgsLenAtDash() != 1 {
				return fmt.Errorf("enter: write -- between the job and the command: enter %s -- %s", args[0], args[1])
			}
			return withJob(c, a, args[0], func(p *app.Jobs, s overview.JobState) error {
				return enter(c.Context(), p.Door, s, args[1:], c.ErrOrStderr())
			})
		},
	}
}

// removeCommand removes a job that is kept.
func removeCommand(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "remove JOB",
		Short: "Remove a job that does not run, such as one that try --keep has kept",
		Long: `Remove everything that a job has on this machine. A job that runs is refused:
cancel it in GitLab. JOB is the number that ps prints, or the name that
ps --json prints.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withJob(c, a, args[0], func(p *app.Jobs, s overview.JobState) error {
				return p.Executor.Remove(c.Context(), s.Identity)
			})
		},
	}
}

// withJob calls do with the state of a job.
func withJob(c *cobra.Command, a *app.App, wanted string, do func(*app.Jobs, overview.JobState) error) error {
	if err := a.Load(c.ErrOrStderr()); err != nil {
		return err
	}
	return a.WithJobs(func(p *app.Jobs) error {
		s, err := p.Overview.Find(c.Context(), wanted)
		if err != nil {
			return err
		}
		return do(p, s)
	})
}

// enter runs the shell or the command with this process's terminal or streams.
func enter(ctx context.Context, d visit.Door, s overview.JobState, command []string, errOut io.Writer) error {
	v := visit.Visitor{Command: command, In: os.Stdin, Out: os.Stdout}
	restore := func() {}
	if in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd()); term.IsTerminal(in) && term.IsTerminal(out) {
		if len(command) == 0 {
			fmt.Fprintf(errOut, "A shell in job %d, image %s. `exit` ends it; the job goes on.\n", s.JobID, printable(s.Image))
		}
		resized, stop := sizes(out)
		defer stop()
		size := windowOf(out)
		v.Window, v.Resized, v.Term = &size, resized, os.Getenv("TERM")
		before, err := term.MakeRaw(in)
		if err != nil {
			return fmt.Errorf("enter: the terminal: %w", err)
		}
		restore = func() { _ = term.Restore(in, before) } // on failure there is no terminal any more
	}
	err := d.Enter(ctx, s.Name, v)
	restore()
	if failed, ok := errors.AsType[*executor.ScriptError](err); ok {
		if failed.Stopped && ctx.Err() == nil {
			fmt.Fprintf(errOut, "The container of job %d was stopped.\n", s.JobID)
		}
		return app.ExitError(failed.Code)
	}
	return err
}

// windowOf is the size of a terminal. Some terminals do not know theirs.
func windowOf(fd int) agent.Window {
	columns, rows, err := term.GetSize(fd)
	if err != nil || columns <= 0 || rows <= 0 {
		columns, rows = 80, 24
	}
	return agent.Window{Rows: uint16(rows), Columns: uint16(columns)}
}

// sizes sends the size of a terminal whenever it changes.
func sizes(fd int) (changed <-chan agent.Window, stop func()) {
	signals, sizes, ended := make(chan os.Signal, 1), make(chan agent.Window), make(chan struct{})
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		defer close(sizes)
		for {
			select {
			case <-signals:
			case <-ended:
				return
			}
			select {
			case sizes <- windowOf(fd):
			case <-ended:
				return
			}
		}
	}()
	return sizes, func() { signal.Stop(signals); close(ended) }
}
