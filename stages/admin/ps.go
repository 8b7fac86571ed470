package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/stages/app"
)

// psCommand lists the jobs on this machine.
func psCommand(a *app.App) *cobra.Command {
	var asJSON, keptOnly bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "List the jobs on this machine",
		Long: `List the jobs that have something on this machine, from their journals and the
engine's labels: what each is at and since when, its image and container, its
storage, and whether the process that drives it lives. With --kept, list the
volumes that wait for the next job of their project instead. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.LoadForOperator(c.ErrOrStderr()); err != nil {
				return err
			}
			return a.WithJobs(func(p *app.Jobs) error {
				if keptOnly && p.Overview.Kept == nil {
					return errors.New("ps --kept: the backend of the configuration keeps no volumes")
				}
				if keptOnly {
					return psKept(c.Context(), p.Overview.Kept, asJSON, c.OutOrStdout())
				}
				return ps(c.Context(), p.Overview, asJSON, c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object for each job or volume")
	c.Flags().BoolVar(&keptOnly, "kept", false, "list the kept volumes instead of the jobs")
	return c
}

// ps prints what is known, even if the engine does not answer.
func ps(ctx context.Context, r *overview.Reader, asJSON bool, out io.Writer) error {
	jobs, err := r.Jobs(ctx)
	if asJSON {
		if jobs == nil {
			jobs = []overview.JobState{}
		}
		return errors.Join(err, format.WriteJSON(out, jobs))
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
		if j.Disk != nil {
			storage += ", kept"
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

// psKept lists the kept volumes of this state folder, last used first.
func psKept(ctx context.Context, s *kept.Store, asJSON bool, out io.Writer) error {
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(v kept.Volume) bool { return v.LastUse.IsZero() }) // of another state folder
	slices.SortFunc(all, func(a, b kept.Volume) int { return b.LastUse.Compare(a.LastUse) })
	if asJSON {
		list := []keptVolume{}
		for _, v := range all {
			list = append(list, keptVolume{v.Name, v.Kind, v.Project, v.Protected, v.LastUse, v.Size.Bytes, v.Size.Known, v.Images})
		}
		return format.WriteJSON(out, list)
	}
	return keptTable(all, time.Now(), out)
}

// keptVolume is the JSON form of a kept volume.
type keptVolume struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Project   int64     `json:"project_id"`
	Protected bool      `json:"protected"`
	LastUse   time.Time `json:"last_use"`
	Bytes     int64     `json:"bytes"`
	Measured  bool      `json:"measured"` // otherwise Bytes is 0
	Images    int       `json:"images"`
}

func keptTable(all []kept.Volume, now time.Time, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VOLUME\tKIND\tPROJECT\tPROTECTED\tUNUSED FOR\tSIZE\tIMAGES")
	for _, v := range all {
		size, images := "?", "-"
		if v.Size.Known {
			size = v.Size.String()
		}
		if v.Kind == kept.Storage {
			images = fmt.Sprint(v.Images)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%t\t%s\t%s\t%s\n", printable(v.Name), printable(v.Kind), v.Project, v.Protected, max(0, now.Sub(v.LastUse)).Round(time.Second), size, images)
	}
	return w.Flush()
}
