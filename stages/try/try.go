// Package try acts as GitLab Runner for one job from the command line.
package try

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/stages/app"
)

// Command runs one job on this machine without GitLab: it calls this binary's own stages as
// the Runner calls them.
func Command(a *app.App) *cobra.Command {
	var j tryJob
	var file string
	c := &cobra.Command{
		Use:   "try --image IMAGE [flags] -- 'script line' ...",
		Short: "Run one job on this machine without GitLab, through the same four stages",
		Example: `  gitlab-sysbox-executor try --image debian:12 -- 'cat /etc/os-release'
  gitlab-sysbox-executor try --image debian:12 --variable NAME=value --service redis:7 --script job.sh`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.Load(c.ErrOrStderr()); err != nil {
				return err
			}
			if a.ConfigPath != "" { // the stages run in another folder
				path, err := filepath.Abs(a.ConfigPath)
				if err != nil {
					return fmt.Errorf("try: %w", err)
				}
				j.configPath = path
			}
			j.out, j.errOut = c.OutOrStdout(), c.ErrOrStderr()
			j.lines = args
			if file != "" {
				if len(args) > 0 {
					return fmt.Errorf("try: give either --script or script lines, not both")
				}
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("try: %w", err)
				}
				j.lines = []string{strings.TrimSuffix(string(text), "\n")}
			}
			if len(j.lines) == 0 {
				return fmt.Errorf("try: there is no script: write it after --, or name a file with --script")
			}
			return j.run(c.Context(), a.Config.Job.BuildsDir)
		},
	}
	c.Flags().StringVar(&j.image, "image", "", "image of the job (default job.image of the configuration)")
	c.Flags().StringArrayVar(&j.variables, "variable", nil, "job variable NAME=value (may be repeated)")
	c.Flags().StringArrayVar(&j.services, "service", nil, "image of a service, or ALIAS=IMAGE (may be repeated)")
	c.Flags().StringVar(&file, "script", "", "file with the job's script")
	return c
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
			result = t.err.Error()
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t\n", t.name, t.took.Seconds(), result)
		sum += t.took
	}
	fmt.Fprintf(w, "all\t%.2f\t\t\n", sum.Seconds())
	w.Flush()
}

// run acts as the Runner and returns the script's own exit code.
func (j *tryJob) run(ctx context.Context, buildsDir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := j.begin(buildsDir); err != nil {
		return fmt.Errorf("try: %w", err)
	}
	defer os.RemoveAll(j.dir)

	var all []timing
	call := func(name string, args ...string) error {
		began := time.Now()
		err := j.call(ctx, self, args...)
		all = append(all, timing{name, time.Since(began), err})
		return err
	}
	err = call("config", "config")
	if err == nil {
		err = call("prepare", "prepare")
	}
	code := 0
	if err == nil {
		for _, s := range j.scripts() {
			if err = call(s.Stage, "run", s.path, s.Stage); err != nil {
				code = j.code(err)
				break
			}
		}
	} else {
		code = j.code(err)
	}
	// Always, even after an interrupt.
	began := time.Now()
	cleanupErr := j.call(context.WithoutCancel(ctx), self, "cleanup")
	all = append(all, timing{"cleanup", time.Since(began), cleanupErr})
	printTimings(j.errOut, all)
	if code != 0 {
		return app.ExitError(code)
	}
	return nil
}
