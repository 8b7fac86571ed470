// Package doctor is the command doctor: it checks this machine or a job's image, runs trial jobs, and
// says what to do.
package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/runnerconfig"
)

// options are the flags of the command.
type options struct {
	noJob, json, fix, verbose bool
	image                     string
	runnerConfig              string
	kubeconfig                string
}

// Command returns the command doctor. Version is that of this program.
func Command(a *app.App, version string) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can run jobs, and say what to do",
		Long: `Check this machine: the engine, Sysbox, the kernel, disks, GitLab Runner's
configuration, the executor's files and what jobs have left. Then run a real job in
an image made of this program alone, once for each kind of storage volume.

With backend = "kubernetes", check the cluster instead of an engine: the API server,
the account's rights, the runtime class, the nodes and the storage class. No job is run.

With --image, check a job's image instead: run a job in it, and say what it has.

The exit code is 0 if all is well or there are only notes, 1 with warnings, and 2
with errors.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.image != "" && (o.fix || o.noJob) {
				return errors.New("doctor: --image runs a job and repairs nothing: leave out --fix and --no-job")
			}
			r, err := examine(c.Context(), a, version, o, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if o.json {
				err = format.WriteJSON(c.OutOrStdout(), r)
			} else {
				err = r.print(c.OutOrStdout(), terminalOf(c.OutOrStdout()))
			}
			if err != nil {
				return err
			}
			return exitCode(r.Severity)
		},
	}
	c.Flags().BoolVar(&o.noJob, "no-job", false, "run no real job")
	c.Flags().BoolVar(&o.json, "json", false, "print a JSON object")
	c.Flags().BoolVar(&o.fix, "fix", false, "repair what is safe: modes of the executor's own files, missing folders, leftovers of jobs")
	c.Flags().BoolVar(&o.verbose, "verbose", false, "print the log of the trial jobs, too")
	c.Flags().StringVar(&o.image, "image", "", "check this image of a job instead")
	c.Flags().StringVar(&o.runnerConfig, "runner-config", runnerconfig.DefaultPath, "GitLab Runner's configuration file")
	c.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "with backend = \"kubernetes\": read nodes and classes with this file, an administrator's")
	c.AddCommand(jobsCommand(a), insideCommand())
	return c
}

// exitCode is the error for an exit code; nil for 0.
func exitCode(s doctor.Severity) error {
	switch s {
	case doctor.Warning:
		return app.ExitError(1)
	case doctor.Error:
		return app.ExitError(2)
	}
	return nil
}

// report is the result of doctor.
type report struct {
	Version  string           `json:"version"`
	Image    string           `json:"image,omitempty"`
	Severity doctor.Severity  `json:"severity"` // the highest of all findings
	Fixes    []doctor.Fix     `json:"fixes,omitempty"`
	Findings []doctor.Finding `json:"findings"`

	inCluster bool
}

// examine does all that the flags ask for.
func examine(ctx context.Context, a *app.App, version string, o options, errOut io.Writer) (r report, err error) {
	r = report{Version: version, Image: o.image}
	path, err := filepath.Abs(cmp.Or(a.ConfigPath, config.DefaultPath))
	if err != nil {
		return r, err
	}
	faulty := a.Load(io.Discard) // reported as a finding
	if faulty != nil {
		a.Config = config.Default()
	}
	if a.ConfigPath != "" {
		a.ConfigPath = path // the trial jobs run in another process
	}
	a.Log = app.NewLog(errOut, "warn")
	r.inCluster = a.Config.Backend == config.BackendKubernetes
	switch {
	case r.inCluster && o.image != "":
		return r, errors.New("doctor --image needs a Docker Engine, and the configuration has backend = \"kubernetes\": `gitlab-sysbox-executor try --image IMAGE` runs a job in the cluster")
	case !r.inCluster && o.kubeconfig != "":
		return r, errors.New("doctor --kubeconfig is about a cluster, and the configuration has not backend = \"kubernetes\"")
	}
	if o.image != "" {
		if faulty != nil {
			return r, faulty
		}
		r.Findings, err = inChild(ctx, a, o, errOut)
		r.Severity = doctor.Worst(r.Findings)
		return r, err
	}
	look := func() (all []doctor.Finding) {
		m := machine(a, version, o.runnerConfig)
		m.ConfigPath, m.ConfigErr = path, faulty
		if r.inCluster {
			return examineCluster(ctx, a, m, o.kubeconfig)
		}
		err := a.With(func(p *app.Parts) error {
			m.Engine, m.Jobs = p.Engine, p.Overview
			m.Collect = func(ctx context.Context, o removal.Options) ([]removal.Collected, error) {
				all, err := p.Executor.GC(ctx, o)
				return all, errors.Join(err, dropImage(ctx, p.Engine, p.Executor.Dir))
			}
			all = doctor.Examine(ctx, m)
			return nil
		})
		if err != nil { // there is no client of the engine, for example without a file for TLS
			m.Engine, m.Jobs = broken{err}, broken{err}
			all = doctor.Examine(ctx, m)
		}
		return all
	}
	r.Findings = look()
	if o.fix {
		if r.Fixes = doctor.Repair(ctx, r.Findings); len(r.Fixes) > 0 {
			r.Findings = look()
		}
	}
	if r.inCluster {
		r.Findings = append(r.Findings, doctor.Finding{Check: jobCheck, Severity: doctor.Note, Text: "no real job was run", Next: "gitlab-sysbox-executor try --image IMAGE -- true"})
	} else if !o.noJob && ctx.Err() == nil {
		if blocked := doctor.Blocked(r.Findings); blocked != "" {
			r.Findings = append(r.Findings, doctor.Finding{Check: jobCheck, Severity: doctor.Note, Text: "no real job was run", Next: "first correct the error above: " + blocked})
		} else if found, err := inChild(ctx, a, o, errOut); err != nil {
			return r, err
		} else {
			r.Findings = append(r.Findings, found...)
		}
	}
	r.Severity = doctor.Worst(r.Findings)
	return r, ctx.Err()
}

// machine is this machine without its engine.
func machine(a *app.App, version, runnerConfig string) *doctor.Machine {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		self = os.Args[0]
	}
	return &doctor.Machine{
		Config: a.Config, ConfigPath: cmp.Or(a.ConfigPath, config.DefaultPath), Self: self, Version: version,
		Volumes: a.Config.VolumeFolder(), RunnerConfig: runnerConfig, Command: command, UID: os.Geteuid(),
		Collect: func(context.Context, removal.Options) ([]removal.Collected, error) {
			return nil, errors.New("gc needs the engine")
		},
	}
}

// commandTime limits a program of the machine, such as `sysbox-runc --version`.
const commandTime = 5 * time.Second

func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.WaitDelay = 100 * time.Millisecond
	out := limited{most: mostOutput}
	c.Stdout = &out
	err := c.Run()
	return out.text.Bytes(), err
}

// broken is an engine without a client.
type broken struct{ err error }

func (b broken) Info(context.Context) (engine.Info, error) { return engine.Info{}, b.err }

func (b broken) Jobs(context.Context) ([]overview.JobState, error) { return nil, b.err }

// inChild runs the trial jobs, or that of an image, in a process of its own. This process is then the
// owner process of the jobs: if it is killed, the child removes them, or else gc does.
func inChild(ctx context.Context, a *app.App, o options, errOut io.Writer) (all []doctor.Finding, err error) {
	args := []string{"doctor", jobsName}
	if a.ConfigPath != "" {
		args = append(args, "--config", a.ConfigPath)
	}
	if o.image != "" {
		args = append(args, "--image", o.image)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, failed bytes.Buffer
	c := exec.CommandContext(ctx, self, args...)
	c.Stdout, c.Stderr = &out, &failed
	if o.verbose {
		c.Stderr = io.MultiWriter(&failed, errOut)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal from the terminal comes once
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := c.Run(); ctx.Err() != nil {
		return nil, fmt.Errorf("doctor: stopped: %w", context.Cause(ctx))
	} else if err != nil {
		return nil, fmt.Errorf("doctor: the trial jobs: %w: %.1000s", err, last(failed.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("doctor: the result of the trial jobs: %w", err)
	}
	return all, nil
}
