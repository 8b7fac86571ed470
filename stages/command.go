package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
)

// Version is set when a release is linked; otherwise it is the commit's.
var Version = ""

// exitError carries an exit code that is neither of the Runner's two; its cause
// has been told already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs the command line and returns the exit code. This is the one place
// where an error's class becomes an exit code.
func Main(args []string) int {
	// A Runner ends a stage with SIGTERM to its process group.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	defer stop()
	// Nobody may read our output any more; there is still work to do then. It is not
	// ignored: a script that the agent starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	root := command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	build, system := ExitCodes(os.Environ())
	if failed, ok := errors.AsType[*executor.ScriptError](err); ok {
		// The Runner tells the job's author the exit code itself.
		if failed.Stopped || failed.Signal != "" {
			jobLog(os.Stderr, "info").Error(err)
		}
		return build
	}
	jobLog(os.Stderr, "info").Error(err)
	if fault.ClassOf(err) == fault.Job {
		return build
	}
	return system
}

// app is what every command has at hand.
type app struct {
	configPath string
	config     *config.Config
	log        *logrus.Logger
}

func command() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:           "gitlab-sysbox-executor",
		Short:         "GitLab Runner custom executor that runs jobs in containers under Sysbox",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration file (default "+config.DefaultPath+")")
	root.AddCommand(
		&cobra.Command{
			Use: "config", Short: "Answer the Runner's config call", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				if err := a.load(os.Stderr); err != nil {
					return err
				}
				return Config(a.config, version(), os.Stdout)
			},
		},
		&cobra.Command{
			Use: "prepare", Short: "Make the job's environment", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.attended(c.Context(), func(ctx context.Context, call *Call, x *executor.Executor) error {
					return Prepare(ctx, call, a.config, x, a.log)
				})
			},
		},
		&cobra.Command{
			Use: "run SCRIPT STAGE", Short: "Run one of the Runner's scripts in the job's environment", Args: cobra.ExactArgs(2),
			RunE: func(c *cobra.Command, args []string) error {
				return a.attended(c.Context(), func(ctx context.Context, call *Call, x *executor.Executor) error {
					return Run(ctx, call, a.config, x, args[0], args[1], os.Stdout, a.log)
				})
			},
		},
		&cobra.Command{
			Use: "cleanup", Short: "Remove whatever the job has on this machine", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.stage(func(call *Call, x *executor.Executor) error {
					return Cleanup(c.Context(), call, x)
				})
			},
		},
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: cobra.NoArgs,
			Run: func(*cobra.Command, []string) { fmt.Println(version()) },
		},
		gcCommand(a),
		psCommand(a),
		metricsCommand(a),
		imagesCommand(a),
		tryCommand(a),
		agentCommand(),
	)
	return root
}

func (a *app) load(log *os.File) (err error) {
	a.log = jobLog(log, "info")
	if a.config, err = config.Load(a.configPath); err != nil {
		return err
	}
	a.log = jobLog(log, a.config.LogLevel)
	return nil
}

// attended is a stage that goes on only while the Runner lives. A Runner that was
// killed calls no cleanup, and takes the job up no more, so we clean up then.
func (a *app) attended(ctx context.Context, do func(context.Context, *Call, *executor.Executor) error) error {
	caller := callingProcess()
	return a.stage(func(call *Call, x *executor.Executor) error {
		watched, stop := caller.watch(ctx)
		defer stop()
		err := do(watched, call, x)
		if caller.gone() {
			return errors.Join(err, Cleanup(context.WithoutCancel(ctx), call, x))
		}
		return err
	})
}

// stage does what prepare, run and cleanup have in common.
func (a *app) stage(do func(*Call, *executor.Executor) error) error {
	if err := a.load(os.Stderr); err != nil {
		return err
	}
	call, err := ReadCall(os.Environ())
	if err != nil {
		return err
	}
	return a.withExecutor(func(x *executor.Executor) error { return do(call, x) })
}

// withExecutor connects to the engine.
func (a *app) withExecutor(do func(*executor.Executor) error) error {
	where := a.config.Engine
	e, err := engine.NewTLS(where.Host, time.Duration(where.Timeout), engine.TLS{CA: where.TLSCA, Cert: where.TLSCert, Key: where.TLSKey})
	if err != nil {
		return err
	}
	defer e.Close()
	return do(&executor.Executor{
		Engine:         e,
		StateDir:       a.config.StateDir,
		KillGrace:      time.Duration(a.config.Run.KillGrace),
		CleanupTimeout: time.Duration(a.config.Cleanup.Timeout),
		GCInterval:     time.Duration(a.config.GC.Interval),
		CacheMounts:    cacheMounts(a.config),
		Disk:           disk(a.config.GC),
		Log:            a.log,
	})
}

// agentCommand holds the faces of our own binary inside the job container.
func agentCommand() *cobra.Command {
	c := &cobra.Command{Use: "agent", Short: "What this binary does inside a job's container", Hidden: true}
	c.AddCommand(
		&cobra.Command{Use: "init ORDER", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error { return agent.Init(args[0]) }},
		&cobra.Command{Use: "ready", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Ready() }},
		&cobra.Command{Use: "exec", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			if code := agent.Exec(); code != 0 {
				return exitError(code)
			}
			return nil
		}},
		&cobra.Command{Use: "inspect", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Inspect(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "look", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Look(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "unmount", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.UnmountNested(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "shift DIR USER", Args: cobra.ExactArgs(2), RunE: func(_ *cobra.Command, args []string) error {
			user, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return fmt.Errorf("agent shift: %w", err)
			}
			return agent.Shift(args[0], uint32(user))
		}},
		&cobra.Command{Use: "await", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Await(os.Stdin, os.Stdout) }},
	)
	return c
}

func version() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return "0.0.0-" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return "0.0.0"
}
