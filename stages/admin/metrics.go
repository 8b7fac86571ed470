package admin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/google/renameio/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/plan"
)

// metricsCommand tells Prometheus of the jobs on this machine.
func metricsCommand(a *app.App) *cobra.Command {
	var output string
	var o metricsOptions
	c := &cobra.Command{
		Use:   "metrics",
		Short: "Print figures of this machine's jobs for Prometheus",
		Long: `Print figures of the jobs on this machine and of their storage in Prometheus'
text format, for node_exporter's textfile collector. Nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.Load(c.ErrOrStderr()); err != nil {
				return err
			}
			o.folder, o.minFree = plan.Volume(a.Config).Folder, int64(a.Config.Storage.MinFree)
			return a.With(func(p *app.Parts) error {
				var b bytes.Buffer
				if err := metrics(c.Context(), p.Overview, o, &b); err != nil {
					return err
				}
				if output == "" {
					_, err := c.OutOrStdout().Write(b.Bytes())
					return err
				}
				// The collector reads files that end in .prom: the one written before is
				// replaced as a whole by one that never has that ending until it is done.
				path, err := filepath.Abs(output)
				if err != nil {
					return err
				}
				return renameio.WriteFile(path, b.Bytes(), 0o644)
			})
		},
	}
	c.Flags().StringVar(&output, "output", "", "file to write instead, as a whole")
	c.Flags().BoolVar(&o.perJob, "per-job", false, "add series for each job, which Prometheus keeps long after it")
	c.Flags().BoolVar(&o.sizes, "kept-sizes", false, "add how much disk kept volumes take, which costs a walk through those that were used since they were measured")
	return c
}

type metricsOptions struct {
	folder        string // of images of volumes
	minFree       int64  // bytes
	perJob, sizes bool
}

func metrics(ctx context.Context, r *overview.Reader, o metricsOptions, out io.Writer) error {
	h, err := r.Host(ctx, o.folder, o.sizes)
	if err != nil {
		return err
	}
	return printFamilies(families(h, o), out)
}

func printFamilies(g gauges, out io.Writer) error {
	for _, f := range g {
		if _, err := expfmt.MetricFamilyToText(out, f); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

const metricsPrefix = "gitlab_sysbox_executor_"

// gauges builds families in the order in which they are asked for.
type gauges []*dto.MetricFamily

// add adds a family; each sample is its labels, name after value, and its figure.
func (g *gauges) add(name, help string, samples ...sample) {
	name = metricsPrefix + name
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
	for _, s := range samples {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &s.value}}
		for n := 0; n < len(s.labels); n += 2 {
			value := printable(s.labels[n+1])
			m.Label = append(m.Label, &dto.LabelPair{Name: &s.labels[n], Value: &value})
		}
		f.Metric = append(f.Metric, m)
	}
	if len(samples) > 0 {
		*g = append(*g, f)
	}
}

type sample struct {
	value  float64
	labels []string
}

func of[N int | int64](value N, labels ...string) sample { return sample{float64(value), labels} }

// families are the figures. Nothing that a job's author chose is among the labels.
func families(h overview.HostState, o metricsOptions) gauges {
	var g gauges
	phases := map[overview.Phase]int{overview.Preparing: 0, overview.Running: 0, overview.Waiting: 0, overview.Cleaning: 0, overview.Orphaned: 0}
	var used, limit, left int64
	var fullest float64
	for _, j := range h.Jobs {
		phases[j.Phase]++
		left += int64(len(j.Left))
		if s := j.Storage; s != nil {
			used, limit = used+s.Used, limit+s.Limit
			if s.Limit > 0 {
				fullest = max(fullest, float64(s.Used)/float64(s.Limit))
			}
		}
	}
	var byPhase []sample
	for _, p := range slices.Sorted(maps.Keys(phases)) {
		byPhase = append(byPhase, of(phases[p], "phase", string(p)))
	}
	g.add("jobs", "Jobs on this machine; orphan: the process that drove it is gone.", byPhase...)
	g.add("storage_used_bytes", "What all jobs' storage volumes use.", of(used))
	g.add("storage_limit_bytes", "What all jobs' storage volumes with a limit may grow to.", of(limit))
	g.add("storage_fullest_ratio", "Used share of the fullest job's storage volume.", sample{value: fullest})
	g.add("disk_free_bytes", "Free on the disk of the storage volumes.", of(h.Disk.Free, "folder", h.Disk.Name))
	g.add("disk_claimed_bytes", "What running jobs may still take of it, before storage.overcommit.", of(h.Claimed, "folder", h.Disk.Name))
	g.add("disk_min_free_bytes", "What is to stay free of it: storage.min_free.", of(o.minFree, "folder", h.Disk.Name))
	g.kept(h.Kept, o.sizes)
	g.add("left_resources", "What clean-ups could not remove; gc takes it up.", of(left))
	g.add("set_aside", "Folders and journals that were set aside.", of(h.Aside))
	if o.perJob {
		g.perJob(h.Jobs)
	}
	return g
}

func (g *gauges) kept(volumes []kept.Volume, sizes bool) {
	count, bytes := map[string]int64{"builds": 0, "cache": 0, "cache-mounts": 0}, map[string]int64{}
	for _, v := range volumes {
		count[v.Kind]++
		bytes[v.Kind] += v.Size.Bytes
	}
	var counts, takes []sample
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		counts = append(counts, of(count[kind], "kind", kind))
		takes = append(takes, of(bytes[kind], "kind", kind))
	}
	g.add("kept_volumes", "Volumes that are kept between jobs.", counts...)
	if sizes {
		g.add("kept_volume_bytes", "What these volumes take.", takes...)
	}
}

func (g *gauges) perJob(jobs []overview.JobState) {
	var started, used, peak, limit []sample
	for _, j := range jobs {
		labels := []string{"job_id", strconv.FormatInt(j.JobID, 10), "project_id", strconv.FormatInt(j.ProjectID, 10), "server", cmp.Or(j.Server, "?")}
		started = append(started, of(max(0, j.Started.Unix()), labels...))
		if s := j.Storage; s != nil {
			used, peak = append(used, of(s.Used, labels...)), append(peak, of(s.Peak, labels...))
			if s.Limit > 0 {
				limit = append(limit, of(s.Limit, labels...))
			}
		}
	}
	g.add("job_started_seconds", "When the job began, since 1970.", started...)
	g.add("job_storage_used_bytes", "What the job's storage volume uses.", used...)
	g.add("job_storage_peak_bytes", "The most that was seen of it.", peak...)
	g.add("job_storage_limit_bytes", "What the job's storage volume may grow to.", limit...)
}
