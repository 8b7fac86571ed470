package admin

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/walk"
)

var hostOfTwo = overview.HostState{
	Jobs: []overview.JobState{
		{
			Identity: job.Identity{Server: `a"b.example`, ProjectID: 42, JobID: 7}, Name: "gsx-1", Phase: overview.Running, Stage: "build_script",
			Started: time.Unix(1000, 0), Since: time.Unix(1060, 0), Driver: owner.Process{PID: 5, Command: "gitlab-runner"}, DriverLives: "yes",
			Container: "0123456789abcdef", Image: "debian:12", Storage: &overview.StorageState{Backend: "xfs-loop", Driver: "vfs", Used: 50 << 20, Peak: 60 << 20, Limit: 100 << 20},
		},
		{
			Name: "gsx-2", Phase: overview.Orphaned, DriverLives: "no", Left: []string{"volume v: in use"},
			Storage: &overview.StorageState{Backend: "volume", Driver: "vfs", Used: 1 << 20},
		},
	},
	Disk: storage.Pool{ID: "disk 1", Name: "/srv/volumes", Free: 1 << 30}, Claimed: 50 << 20, Aside: 3,
	Kept: []kept.Volume{{Name: "a", Kind: "cache-mounts", Size: kept.Size{Size: walk.Size{Bytes: 7}, Known: true}}, {Name: "b", Kind: "cache-mounts"}},
}

func textOf(t *testing.T, o metricsOptions) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range families(hostOfTwo, o) {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	text := textOf(t, metricsOptions{minFree: 9})
	for _, want := range []string{
		`gitlab_sysbox_executor_jobs{phase="stage"} 1`, `gitlab_sysbox_executor_jobs{phase="orphan"} 1`, `gitlab_sysbox_executor_jobs{phase="prepare"} 0`,
		`gitlab_sysbox_executor_storage_used_bytes 5.3477376e+07`, `gitlab_sysbox_executor_storage_fullest_ratio 0.5`,
		`gitlab_sysbox_executor_disk_free_bytes{folder="/srv/volumes"} 1.073741824e+09`, `gitlab_sysbox_executor_disk_claimed_bytes{folder="/srv/volumes"} 5.24288e+07`,
		`gitlab_sysbox_executor_disk_min_free_bytes{folder="/srv/volumes"} 9`,
		`gitlab_sysbox_executor_kept_volumes{kind="cache-mounts"} 2`, `gitlab_sysbox_executor_kept_volumes{kind="builds"} 0`,
		"gitlab_sysbox_executor_left_resources 1", "gitlab_sysbox_executor_set_aside 3",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "job_id=") || strings.Contains(text, "kept_volume_bytes") {
		t.Errorf("what nobody asked for is in\n%s", text)
	}
	text = textOf(t, metricsOptions{perJob: true, sizes: true})
	for _, want := range []string{
		`gitlab_sysbox_executor_job_storage_used_bytes{job_id="7",project_id="42",server="a\"b.example"} 5.24288e+07`,
		`gitlab_sysbox_executor_job_storage_limit_bytes{job_id="7",project_id="42",server="a\"b.example"} 1.048576e+08`,
		`gitlab_sysbox_executor_job_storage_peak_bytes{job_id="0",project_id="0",server="?"} 0`,
		`gitlab_sysbox_executor_job_started_seconds{job_id="7",project_id="42",server="a\"b.example"} 1000`,
		`gitlab_sysbox_executor_kept_volume_bytes{kind="cache-mounts"} 7`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestPsTable(t *testing.T) {
	var b bytes.Buffer
	if err := psTable(hostOfTwo.Jobs, time.Unix(1070, 0), &b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"JOB PROJECT PHASE FOR IMAGE CONTAINER STORAGE USED PEAK LIMIT DRIVER",
		"7 42 build_script 10s debian:12 0123456789ab vfs on xfs-loop 50MiB 60MiB 100MiB 5 (gitlab-runner)",
		"? ? orphan ? - - vfs on volume 1MiB 0B - 0 (?), ended",
		"left: volume v: in use",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", b.String())
	}
}
