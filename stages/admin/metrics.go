package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
)

// metricsCommand prints metrics of the jobs on this machine for Prometheus.
func metricsCommand(a *app.App) *cobra.Command {
	var output, listen string
	var o metricsOptions
	c := &cobra.Command{
		Use:   "metrics",
		Short: "Print metrics of this machine's jobs for Prometheus",
		Long: `Print figures of the jobs on this machine and of their storage in Prometheus'
text format, for node_exporter's textfile collector. Nothing is changed.

With --listen it runs until SIGTERM and serves them over HTTP at /metrics. A port
alone, such as 9253 or :9253, is on the loopback interface only; write
0.0.0.0:9253 to serve other machines, too. There is no encryption and no password.`,
		Example: `  gitlab-sysbox-executor metrics --output /var/lib/prometheus/node-exporter/gitlab-sysbox-executor.prom
  gitlab-sysbox-executor metrics --listen 9253`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.LoadForOperator(c.ErrOrStderr()); err != nil {
				return err
			}
			if listen != "" && output != "" {
				return errors.New("metrics: --listen and --output exclude each other")
			}
			o.folder, o.minFree = a.Config.VolumeFolder(), int64(a.Config.Storage.MinFree)
			return a.WithJobs(func(p *app.Jobs) error {
				if listen != "" {
					return serve(c.Context(), listen, exporter{p, o, a.Log})
				}
				var b bytes.Buffer
				if err := metrics(c.Context(), p, o, &b); err != nil {
					return err
				}
				if output == "" {
					_, err := c.OutOrStdout().Write(b.Bytes())
					return err
				}
				// The collector reads files that end in .prom. A temporary file with another
				// ending replaces the file when it is complete.
				path, err := filepath.Abs(output)
				if err != nil {
					return err
				}
				return renameio.WriteFile(path, b.Bytes(), 0o644)
			})
		},
	}
	c.Flags().StringVar(&output, "output", "", "file to write instead of standard output; it is replaced when complete")
	c.Flags().StringVar(&listen, "listen", "", "serve the metrics over HTTP at this address, host:port or a port")
	c.Flags().BoolVar(&o.perJob, "per-job", false, "add series for each job; Prometheus keeps them long after the job")
	c.Flags().BoolVar(&o.sizes, "kept-sizes", false, "add the disk usage of kept volumes; this reads every volume that was used since its last measurement")
	return c
}

type metricsOptions struct {
	folder        string // of file system images of volumes
	minFree       int64  // bytes
	perJob, sizes bool
}

// metrics prints all metrics. If the engine does not answer, it prints nothing and returns the error.
func metrics(ctx context.Context, p *app.Jobs, o metricsOptions, out io.Writer) error {
	h, err := p.Overview.Host(ctx, o.folder, o.sizes)
	if err != nil {
		return err
	}
	t, err := p.Accounts.Read(ctx)
	if err != nil {
		return err
	}
	return printFamilies(append(families(h, o), totals(t)...), out)
}

func printFamilies(g []*dto.MetricFamily, out io.Writer) error {
	for _, f := range g {
		if _, err := expfmt.MetricFamilyToText(out, f); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

const metricsPrefix = "gitlab_sysbox_executor_"

func family(name, help string, kind dto.MetricType) *dto.MetricFamily {
	name = metricsPrefix + name
	return &dto.MetricFamily{Name: &name, Help: &help, Type: kind.Enum()}
}

// labels are the labels with these names and values in turn.
func labels(pairs ...string) (all []*dto.LabelPair) {
	for n := 0; n < len(pairs); n += 2 {
		value := printable(pairs[n+1])
		all = append(all, &dto.LabelPair{Name: &pairs[n], Value: &value})
	}
	return all
}

// gauges collects metric families in the order of their creation.
type gauges []*dto.MetricFamily

// add adds a family; a sample has its labels, as names and values in turn, and its value.
func (g *gauges) add(name, help string, samples ...sample) {
	f := family(name, help, dto.MetricType_GAUGE)
	for _, s := range samples {
		f.Metric = append(f.Metric, &dto.Metric{Label: labels(s.labels...), Gauge: &dto.Gauge{Value: &s.value}})
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

// families returns the metrics. Their labels contain no text that a job's author chose.
func families(h overview.HostState, o metricsOptions) gauges {
	var g gauges
	g.add("engine_up", engineUpHelp, of(1))
	phases := map[overview.Phase]int{overview.Preparing: 0, overview.Running: 0, overview.Waiting: 0, overview.Kept: 0, overview.Cleaning: 0, overview.Orphaned: 0}
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
	g.add("jobs", "Jobs on this machine; orphan: its owner process is gone.", byPhase...)
	g.add("storage_used_bytes", "Used space of all jobs' storage volumes.", of(used))
	g.add("storage_limit_bytes", "Total limit of all jobs' storage volumes with a limit.", of(limit))
	g.add("storage_fullest_ratio", "Used share of the fullest job's storage volume.", sample{value: fullest})
	g.add("disk_free_bytes", "Free space on the disk of the storage volumes.", of(h.Disk.Free, "folder", h.Disk.Name))
	g.add("disk_claimed_bytes", "Space on this disk that running jobs may still use, before storage.overcommit.", of(h.Claimed, "folder", h.Disk.Name))
	g.add("disk_min_free_bytes", "Space on this disk that has to stay free: storage.min_free.", of(o.minFree, "folder", h.Disk.Name))
	g.kept(h.Kept, o.sizes)
	g.add("left_resources", "Leftovers that cleanups could not remove; gc retries them.", of(left))
	g.add("set_aside", "Folders and journals in quarantine.", of(h.Aside))
	if o.perJob {
		g.perJob(h.Jobs)
	}
	return g
}

func (g *gauges) kept(volumes []kept.Volume, sizes bool) {
	count, bytes := map[string]int64{kept.Builds: 0, kept.Cache: 0, kept.CacheMounts: 0, kept.Storage: 0}, map[string]int64{}
	for _, v := range volumes {
		count[v.Kind]++
		bytes[v.Kind] += v.Size.Bytes
	}
	var counts, takes []sample
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		counts = append(counts, of(count[kind], "kind", kind))
		takes = append(takes, of(bytes[kind], "kind", kind))
	}
	g.add("kept_volumes", "Volumes that outlive their jobs.", counts...)
	g.keptStorage(volumes)
	if sizes {
		g.add("kept_volume_bytes", "Disk usage of these volumes.", takes...)
	}
}

// keptStorage adds what is known of kept storage volumes without reading them.
func (g *gauges) keptStorage(volumes []kept.Volume) {
	var bytes, images int64
	for _, v := range volumes {
		if v.Kind == kept.Storage {
			bytes += v.Size.Bytes
			images += int64(v.Images)
		}
	}
	g.add("kept_storage_bytes", "Disk usage of kept storage volumes that wait for a job.", of(bytes))
	g.add("kept_storage_images", "Container images in them.", of(images))
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
	g.add("job_started_seconds", "Start of the job, in seconds since 1970.", started...)
	g.add("job_storage_used_bytes", "Used space of the job's storage volume.", used...)
	g.add("job_storage_peak_bytes", "Highest observed usage of the job's storage volume.", peak...)
	g.add("job_storage_limit_bytes", "Limit of the job's storage volume.", limit...)
}
