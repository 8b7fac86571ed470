// Package admin has the commands for jobs on this machine: gc, ps, enter, remove, metrics and images. They print the
// executor's results.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/stages/app"
)

// Commands returns all commands of this package.
func Commands(a *app.App) []*cobra.Command {
	return []*cobra.Command{gcCommand(a), psCommand(a), enterCommand(a), removeCommand(a), metricsCommand(a), imagesCommand(a)}
}

// gcCommand removes resources that belong to no running job.
func gcCommand(a *app.App) *cobra.Command {
	var o removal.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove what belongs to no running job",
		Long: `Remove what belongs to no running job: containers, networks and volumes with the
executor's labels, journals, folders, and what earlier clean-ups could not remove.

A job runs while the process that drives it lives, or one of its stages does.
Nothing without the executor's labels is touched. Several may be called at once:
all but the first say so and end.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.OlderThan < 0 {
				return fmt.Errorf("--older-than %s: write a time that is not negative, for example 1h", o.OlderThan)
			}
			if err := a.LoadForOperator(c.ErrOrStderr()); err != nil {
				return err
			}
			for _, text := range a.Config.Unsafe() {
				a.Log.Warnf("The configuration permits every job (hardening.allow_unsafe): %s.", text)
			}
			return a.WithExecutor(func(x *executor.Executor) error {
				return collect(c.Context(), x, o, asJSON, c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only print what would be removed")
	c.Flags().DurationVar(&o.OlderThan, "older-than", 0, "keep what was used within this time, for example 1h")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object for each job or resource found")
	return c
}

func collect(ctx context.Context, x *executor.Executor, o removal.Options, asJSON bool, out io.Writer) error {
	began := time.Now()
	all, err := x.GC(ctx, o)
	if errors.Is(err, removal.ErrBusy) {
		x.Log.Info(err)
		err = nil
	}
	if asJSON {
		if all == nil {
			all = []removal.Collected{}
		}
		return errors.Join(err, format.WriteJSON(out, all))
	}
	return errors.Join(err, gcTable(all, o.DryRun, began, out))
}

func gcTable(all []removal.Collected, dryRun bool, began time.Time, out io.Writer) error {
	counts := map[removal.Action]int{}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range all {
		counts[c.Action]++
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Action, printable(c.Name), printable(c.Reason))
		for _, r := range c.Resources {
			fmt.Fprintf(w, "\t  %s\t\n", printable(r))
		}
	}
	fmt.Fprintf(w, "%d removed, %d kept, %d left", counts[removal.Removed], counts[removal.Kept], counts[removal.LeftOver])
	if dryRun {
		fmt.Fprintf(w, ", %d would be removed", counts[removal.WouldRemove])
	}
	fmt.Fprintf(w, " in %s\n", time.Since(began).Round(time.Millisecond))
	return w.Flush()
}
