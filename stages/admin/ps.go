package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/stages/app"
)

// psCommand lists the jobs on this machine.
func psCommand(a *app.App) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "List the jobs on this machine",
		Long: `List the jobs that have something on this machine, from their journals and the
engine's labels: what each is at and since when, its image and container, its
storage, and whether the process that drives it lives. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.Load(c.ErrOrStderr()); err != nil {
				return err
			}
			return a.With(func(p *app.Parts) error {
				return ps(c.Context(), p.Overview, asJSON, c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object for each job")
	return c
}

// ps prints what is known, even if the engine does not answer.
func ps(ctx context.Context, r *overview.Reader, asJSON bool, out io.Writer) error {
	jobs, err := r.Jobs(ctx)
	if asJSON {
		if jobs == nil {
			jobs = []overview.JobState{}
		}
		return errors.Join(err, printJSON(out, jobs))
	}
	return errors.Join(err, psTable(jobs, time.Now(), out))
}

func psTable(jobs []overview.JobState, now time.Time, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tPROJECT\tPHASE\tFOR\tIMAGE\tCONTAINER\tSTORAGE\tUSED\tPEAK\tLIMIT\tDRIVER")
	number := func(n int64) string {
		if n == 0 {
			return "?"
		}
		return fmt.Sprint(n)
	}
	for _, j := range jobs {
		phase, age := string(j.Phase), "?"
		if j.Phase == overview.Running {
			phase = j.Stage
		}
		if !j.Since.IsZero() {
			age = max(0, now.Sub(j.Since)).Round(time.Second).String()
		}
		storage, used, peak, limit := "-", "-", "-", "-"
		if s := j.Storage; s != nil {
			storage, used, peak = printable(s.Driver+" on "+s.Backend), format.Bytes(s.Used), format.Bytes(s.Peak)
			if s.Limit > 0 {
				limit = format.Bytes(s.Limit)
			}
		}
		driver := fmt.Sprintf("%d (%s)", j.Driver.PID, cmp.Or(printable(j.Driver.Command), "?"))
		switch j.DriverLives {
		case "no":
			driver += ", ended"
		case "unknown":
			driver += ", not seen from here"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.12s\t%s\t%s\t%s\t%s\t%s\n", number(j.JobID), number(j.ProjectID), cmp.Or(printable(phase), "?"), age,
			cmp.Or(printable(j.Image), "-"), cmp.Or(printable(j.Container), "-"), storage, used, peak, limit, driver)
		for _, left := range j.Left {
			fmt.Fprintf(w, "\t\tleft: %s\n", printable(left))
		}
	}
	return w.Flush()
}
