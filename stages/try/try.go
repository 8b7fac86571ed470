// Package try acts as GitLab Runner for one job from the command line.
package try

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/visit"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/script"
)

// flags are those of the command line.
type flags struct {
	image, script, yaml, git string
	variables, services      []string
	keep                     time.Duration // 0: remove everything
}

// KeepFlag is the flag of prepare for a job that is to stay after its end.
const KeepFlag = "keep"

// The time for which --keep keeps a job: if it names none, and at most.
const (
	usualKeep   = "1h"
	longestKeep = 7 * 24 * time.Hour
)

// Command runs one job on this machine without GitLab: it calls this binary's own stages as
// the Runner calls them.
func Command(a *app.App) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "try --image IMAGE [flags] -- 'script line' ...\n  gitlab-sysbox-executor try --yaml FILE [flags] JOB",
		Short: "Run one job on this machine without GitLab, through the same four stages",
		Long: `Run one job on this machine without GitLab, through the same four stages. The
exit code is that of the job's script, or 2 if it could not run.

--git DIR gives the job a copy of a Git working copy as its project: the last
commits (GIT_DEPTH of them, 20 by default), and the files as they are in DIR,
with changes that are not committed and with new files, without ignored ones.
DIR is not changed.

--yaml FILE runs a job of a .gitlab-ci.yml: its image, services, variables,
before_script, script and after_script, with what it inherits. What try does not
understand is named.

--keep leaves the job's container for a look, for an hour or for a given time:
"gitlab-sysbox-executor enter JOB" opens a shell in it, and
"gitlab-sysbox-executor remove JOB" removes it. After that time gc removes it.`,
		Example: `  gitlab-sysbox-executor try --image debian:12 -- 'cat /etc/os-release'
  gitlab-sysbox-executor try --image debian:12 --variable NAME=value --service redis:7 --script job.sh
  gitlab-sysbox-executor try --git . --yaml .gitlab-ci.yml build`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.Load(c.ErrOrStderr()); err != nil {
				return err
			}
			if err := f.run(c, a, args); err != nil {
				if code, ok := err.(app.ExitError); ok {
					return code
				}
				return fmt.Errorf("try: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&f.image, "image", "", "image of the job (default that of --yaml, or job.image of the configuration)")
	c.Flags().StringArrayVar(&f.variables, "variable", nil, "job variable NAME=value (may be repeated)")
	c.Flags().StringArrayVar(&f.services, "service", nil, "image of a service, or ALIAS=IMAGE (may be repeated)")
	c.Flags().StringVar(&f.script, "script", "", "file with the job's script")
	c.Flags().StringVar(&f.yaml, "yaml", "", "a .gitlab-ci.yml that has the job")
	c.Flags().StringVar(&f.git, "git", "", "folder of a Git working copy to copy as the job's project")
	c.Flags().DurationVar(&f.keep, "keep", 0, "keep the job's container for this time, at most 168h, as --keep=4h")
	c.Flags().Lookup("keep").NoOptDefVal = usualKeep
	return c
}

func (f *flags) run(c *cobra.Command, a *app.App, args []string) (err error) {
	j := tryJob{out: c.OutOrStdout(), errOut: c.ErrOrStderr()}
	if c.Flags().Changed("keep") && (f.keep <= 0 || f.keep > longestKeep) {
		return fmt.Errorf("--keep %s: write a time above 0 and up to %s, for example --keep=4h", f.keep, longestKeep)
	}
	if a.ConfigPath != "" { // the stages run in another folder
		if j.configPath, err = filepath.Abs(a.ConfigPath); err != nil {
			return err
		}
	}
	if f.yaml != "" {
		j.Job, err = f.fromFile(args)
	} else {
		j.Job, err = f.fromFlags(args)
	}
	if err != nil {
		return err
	}
	for _, text := range j.Notes {
		fmt.Fprintln(j.errOut, format.Printable(text, ""))
	}
	if f.git != "" {
		if j.project, err = openProject(c.Context(), f.git); err != nil {
			return err
		}
	}
	return a.WithJobs(func(p *app.Jobs) error { return j.run(c.Context(), p.Door, a.Config.Job.BuildsDir, f.keep) })
}

// timing is the duration of one stage.
type timing struct {
	name string
	took time.Duration
	err  error
}

func printTimings(out io.Writer, all []timing) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nstage\tseconds\tresult\t")
	var sum time.Duration
	for _, t := range all {
		result := "ok"
		if t.err != nil {
			result = format.Printable(t.err.Error(), "")
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t\n", t.name, t.took.Seconds(), result)
		sum += t.took
	}
	fmt.Fprintf(w, "all\t%.2f\t\t\n", sum.Seconds())
	w.Flush()
}

// run acts as the Runner and returns the script's own exit code.
func (j *tryJob) run(ctx context.Context, d visit.Door, buildsDir string, keep time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := j.begin(buildsDir); err != nil {
		os.RemoveAll(j.dir)
		return err
	}
	defer os.RemoveAll(j.dir)
	var all []timing
	step := func(name string, do func() error) error {
		began := time.Now()
		err := do()
		all = append(all, timing{name, time.Since(began), err})
		return err
	}
	code, prepared := j.stages(ctx, d, self, keep, step)
	// Always, even after an interrupt.
	ctx = context.WithoutCancel(ctx)
	if keep == 0 || !prepared || step("keep", func() error { return j.keep(ctx, d, keep) }) != nil {
		_ = step("cleanup", func() error { return j.call(ctx, self, "cleanup") })
		keep = 0
	}
	printTimings(j.errOut, all)
	if keep > 0 {
		j.sayKept(self, keep)
	}
	if code != 0 {
		return app.ExitError(code)
	}
	return nil
}

// stages runs the stages up to the last script. It returns the exit code, and whether the job has a container.
func (j *tryJob) stages(ctx context.Context, d visit.Door, self string, keep time.Duration, step func(string, func() error) error) (code int, prepared bool) {
	for _, call := range [][]string{{"config"}, {"prepare", "--" + KeepFlag + "=" + keep.String()}} {
		if err := step(call[0], func() error { return j.call(ctx, self, call...) }); err != nil {
			return j.code(err), false
		}
	}
	runScript := func(stage, commands string) error {
		return step(stage, func() error {
			file, err := j.writeScript(stage, commands)
			if err != nil {
				return err
			}
			return j.call(ctx, self, "run", file, stage)
		})
	}
	if err := runScript("prepare_script", "echo \"Running on $(cat /etc/hostname) ...\"\n"); err != nil {
		return j.code(err), true
	}
	if strategy := j.value("GIT_STRATEGY"); j.project != nil && strategy != "none" && strategy != "empty" {
		if err := step("get_sources", func() error { return j.sendProject(ctx, d) }); err != nil {
			fmt.Fprintf(j.errOut, "The project could not be copied into the job: %s\n", format.Printable(err.Error(), ""))
			return trySystemFailure, true
		}
	}
	status := "success"
	if err := runScript("build_script", j.commands(j.Script)); err != nil {
		code, status = j.code(err), "failed"
	}
	if len(j.After) > 0 && ctx.Err() == nil {
		fmt.Fprintln(j.out, "Running after script...")
		err := runScript("after_script", j.commands(j.After, script.Variable{Name: "CI_JOB_STATUS", Value: status}))
		// The job decides whether it counts (GitLab Runner, common/build_settings.go: AfterScriptIgnoreErrors).
		if ignored, e := strconv.ParseBool(j.value("AFTER_SCRIPT_IGNORE_ERRORS")); err != nil && e == nil && !ignored && code == 0 {
			code = j.code(err)
		}
	}
	return code, true
}

// keep records that the job stays.
func (j *tryJob) keep(ctx context.Context, door visit.Door, d time.Duration) error {
	id, err := j.identity()
	if err != nil {
		return err
	}
	return door.Keep(ctx, id.Name(), d)
}

// sayKept says how to enter the job and how to remove it.
func (j *tryJob) sayKept(self string, d time.Duration) {
	command := filepath.Base(self)
	if j.configPath != "" {
		command += " --config " + script.Quote(j.configPath)
	}
	fmt.Fprintf(j.errOut, "\nThe job's container stays for %s. A shell in it:\n  %s enter %d\nRemove it with everything that it has:\n  %[2]s remove %[3]d\n", d, command, j.id)
}
