// Package stages is the command line: the stages that GitLab Runner calls (config, prepare,
// run and cleanup), and the commands of the packages below.
package stages

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/stages/admin"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/doctor"
	"gitlab-sysbox-executor/stages/install"
	"gitlab-sysbox-executor/stages/try"
)

// Main runs the command line and returns the exit code. Only here an error's class becomes
// an exit code. The files are what the command install writes.
func Main(args []string, files fs.FS) int {
	if doctor.IsShell(os.Args[0]) {
		return doctor.Shell(context.Background(), args)
	}
	// A Runner ends a stage with SIGTERM to its process group.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	defer stop()
	// The reader of our output may be gone while there is still work to do. The signal is not
	// ignored, because a script that the agent starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	root, a := command(files)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[app.ExitError](err); ok {
		return int(code)
	}
	build, system := contract.ExitCodes(os.Environ())
	if failed, ok := errors.AsType[*executor.ScriptError](err); ok {
		// The Runner itself reports the exit code to the job's author.
		if failed.Stopped || failed.Signal != "" {
			a.Report(err)
		}
		return build
	}
	a.Report(err)
	if fault.ClassOf(err) == fault.Job {
		return build
	}
	return system
}

// Command returns the command line. The files are those of Main.
func Command(files fs.FS) *cobra.Command {
	root, _ := command(files)
	return root
}

func command(files fs.FS) (*cobra.Command, *app.App) {
	a := &app.App{}
	root := &cobra.Command{
		Use:           "gitlab-sysbox-executor",
		Short:         "GitLab Runner custom executor that runs jobs in containers under Sysbox",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&a.ConfigPath, "config", "", "configuration file (default "+config.DefaultPath+")")
	root.PersistentFlags().StringVar(&a.LogFormat, "log-format", "", "format of the operator's log: text or json (default: the configuration's)")
	var keep time.Duration
	prepare := &cobra.Command{
		Use: "prepare", Short: "Make the job's environment", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return attended(c.Context(), a, accounting.StagePrepare, func(ctx context.Context, call *contract.Call, x *executor.Executor) error {
				return Prepare(ctx, call, a.Config, keep, x, a.Log)
			})
		},
	}
	prepare.Flags().DurationVar(&keep, try.KeepFlag, 0, "how long the job is to stay after its end")
	_ = prepare.Flags().MarkHidden(try.KeepFlag) // it exists
	root.AddCommand(
		&cobra.Command{
			Use: "config", Short: "Answer the Runner's config call", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				if err := a.Load(os.Stderr); err != nil {
					return err
				}
				return Config(a.Config, version(), c.OutOrStdout())
			},
		},
		prepare,
		&cobra.Command{
			Use: "run SCRIPT STAGE", Short: "Run one of the Runner's scripts in the job's environment", Args: cobra.ExactArgs(2),
			RunE: func(c *cobra.Command, args []string) error {
				return attended(c.Context(), a, args[1], func(ctx context.Context, call *contract.Call, x *executor.Executor) error {
					return Run(ctx, call, a.Config, x, args[0], args[1], c.OutOrStdout(), a.Log)
				})
			},
		},
		&cobra.Command{
			Use: "cleanup", Short: "Remove whatever the job has on this machine", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return stage(a, func(call *contract.Call, x *executor.Executor) error {
					return Cleanup(c.Context(), a, call, x, accounting.ByCleanup)
				})
			},
		},
		versionCommand(),
		try.Command(a),
		doctor.Command(a, root.Version),
		agentCommand(),
	)
	root.AddCommand(admin.Commands(a)...)
	root.AddCommand(install.Commands(a, files)...)
	return root, a
}

// attended runs the named stage and stops it when the Runner dies. A killed Runner never calls
// cleanup and does not resume the job, so the stage cleans up then.
func attended(ctx context.Context, a *app.App, name string, do func(context.Context, *contract.Call, *executor.Executor) error) error {
	caller := contract.CallingProcess()
	return stage(a, func(call *contract.Call, x *executor.Executor) error {
		watched, stop := caller.Watch(ctx)
		defer stop()
		err := account(watched, a, call, x, name, caller.Gone, func(ctx context.Context) error { return do(ctx, call, x) })
		if caller.Gone() {
			return errors.Join(err, Cleanup(context.WithoutCancel(ctx), a, call, x, accounting.ByStage))
		}
		return err
	})
}

// stage is the common part of prepare, run and cleanup.
func stage(a *app.App, do func(*contract.Call, *executor.Executor) error) error {
	if err := a.Load(os.Stderr); err != nil {
		return err
	}
	call, err := contract.ReadCall(os.Environ())
	if err != nil {
		return err
	}
	return a.WithExecutor(func(x *executor.Executor) error { return do(call, x) })
}
