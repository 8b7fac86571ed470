package plan

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/stages/contract"
)

// payload is a job as GitLab sends it, as far as it matters here.
const payload = `{
  "id": 2046, "token": "glcbt-secret", "allow_git_fetch": true,
  "job_info": {"name": "release", "stage": "test", "pipeline_id": 102046, "project_id": 42, "project_name": "project"},
  "git_info": {"repo_url": "https://gitlab-ci-token:glcbt-secret@gitlab.example.com:8443/group/project.git", "ref": "main", "protected": true},
  "variables": [{"key": "CFG", "value": "content", "file": true}, {"key": "A", "value": "b", "public": true}, {"key": "CI_RUNNER_ID", "value": "3", "public": true}],
  "image": {"name": "debian:$TAG", "entrypoint": [""], "pull_policy": ["if-not-present"], "executor_opts": {"docker": {"platform": "arm64", "user": 1000}}},
  "services": [{"name": "redis:7", "alias": "cache,store", "command": ["redis-server"], "variables": [{"key": "X", "value": "y"}]}],
  "features": {"new": {"in": "some later version"}}
}`

func planOf(t *testing.T, cfg *config.Config, vars map[string]string) (job.Plan, string, error) {
	t.Helper()
	j, err := contract.ParseJob([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if vars["CI_JOB_IMAGE"] == "" {
		vars["CI_JOB_IMAGE"] = "debian:12"
	}
	vars["CI_PROJECT_DIR"], vars["CI_CONCURRENT_PROJECT_ID"] = "/builds/group/project", "0"
	cfg.Job.AllowedPullPolicies = []string{"always", "if-not-present"} // the payload asks for the latter
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	p, err := Make(&contract.Call{Job: j, Variables: vars}, cfg, log)
	return p, said.String(), err
}

func TestPlanTakesTheJobsImage(t *testing.T) {
	p, _, err := planOf(t, config.Default(), map[string]string{"CI_JOB_IMAGE": "debian:12"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Image.Reference != "debian:12" || p.Image.Platform != "linux/arm64" || p.User != "1000" || !slices.Equal(p.Entrypoint, []string{""}) {
		t.Errorf("got %+v", p)
	}
}

func TestPlanPrefersTheAdministratorsUser(t *testing.T) {
	cfg := config.Default()
	cfg.Job.User = "nobody"
	if p, _, err := planOf(t, cfg, map[string]string{}); err != nil || p.User != "nobody" {
		t.Errorf("got %q, %v", p.User, err)
	}
}

func TestSystemdIsRefusedWithoutRoot(t *testing.T) {
	for _, tt := range []struct {
		user    string
		allowed []string
		want    string
	}{
		{"", nil, ""},
		{"root", nil, ""},
		{"0:1000", nil, ""},
		{"00", nil, ""},
		{"1000", nil, `job.user is "1000"`},
		{"rooty:root", nil, `job.user is "rooty:root"`},
		{"", []string{"1000", "0"}, ""},
		{"", []string{"1000", "www-data"}, `job.allowed_users is ["1000" "www-data"], without root`},
		{"root", []string{"root"}, ""},
		{"1000", []string{"1000", "root"}, `job.user is "1000"`},
	} {
		cfg := config.Default()
		cfg.Job.User, cfg.Job.AllowedUsers = tt.user, tt.allowed
		if got := systemdRefused(cfg.Job); got != tt.want {
			t.Errorf("%q, %q: %q", tt.user, tt.allowed, got)
		}
		if tt.allowed == nil {
			if p, _, err := planOf(t, cfg, map[string]string{}); err != nil || p.SystemdRefused != tt.want {
				t.Errorf("%q: %q, %v", tt.user, p.SystemdRefused, err)
			}
		}
	}
}

func TestPlanNeedsAnImage(t *testing.T) {
	_, err := Make(&contract.Call{Job: &contract.Job{ID: 1, Info: contract.JobInfo{ProjectID: 1}}}, config.Default(), logrus.New())
	if fault.ClassOf(err) != fault.Job {
		t.Errorf("got %v", err)
	}
}

// What no process can be started with is refused before anything is made, as for services.
func TestPlanRefusesAnImpossibleEntrypoint(t *testing.T) {
	for name, word := range map[string]string{"long": strings.Repeat("x", 140_000), "NUL": "a\x00b"} {
		c := &contract.Call{
			Variables: map[string]string{"CI_JOB_IMAGE": "debian:12"},
			Job:       &contract.Job{ID: 1, Info: contract.JobInfo{ProjectID: 1}, Image: contract.Image{Name: "debian:12", Entrypoint: []string{"sh", word}}},
		}
		_, err := Make(c, config.Default(), logrus.New())
		if err == nil || fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), "entrypoint[1]") || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v", name, err)
		}
	}
}

func TestPlanTMPDIR(t *testing.T) {
	for _, tc := range []struct {
		name, job, want string
		ok              bool
	}{
		{"the job's", "/some/path", "/some/path", true},
		{"cleaned", "/some//path/", "/some/path", true},
		{"empty is none", "", config.Default().Storage.TmpDir, true},
		{"relative", "some/path", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _, err := planOf(t, config.Default(), map[string]string{"TMPDIR": tc.job})
			if (err == nil) != tc.ok {
				t.Fatal(err)
			}
			if err != nil {
				if fault.ClassOf(err) != fault.Job {
					t.Errorf("%v is not told as the job's fault", err)
				}
				return
			}
			if p.Storage.TMPDIR != tc.want {
				t.Errorf("got %q, want %q", p.Storage.TMPDIR, tc.want)
			}
			for _, kv := range append(p.Environment, p.Services[0].Environment...) {
				if strings.HasPrefix(kv, "TMPDIR=") {
					t.Errorf("%q beats the storage settings", kv)
				}
			}
		})
	}
}

// The job's own BUILDAH_ISOLATION and the configured one are not tried.
func TestPlanIsolation(t *testing.T) {
	for name, tc := range map[string]struct {
		configured string
		vars       map[string]string
		want, try  string
	}{
		"default":       {"auto", nil, "chroot", "rootless"},
		"job's":         {"auto", map[string]string{"BUILDAH_ISOLATION": "oci"}, "chroot", ""},
		"job's, empty":  {"auto", map[string]string{"BUILDAH_ISOLATION": ""}, "chroot", ""},
		"configured":    {"chroot", nil, "chroot", ""},
		"left unset":    {"", nil, "", ""},
		"another one's": {"oci", map[string]string{"BUILDAH_ISOLATION": "chroot"}, "oci", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			if cfg.Storage.Isolation != "auto" {
				t.Errorf("default %q", cfg.Storage.Isolation)
			}
			cfg.Storage.Isolation = tc.configured
			vars := maps.Clone(tc.vars)
			if vars == nil {
				vars = map[string]string{}
			}
			p, _, err := planOf(t, cfg, vars)
			if err != nil || p.Storage.Isolation != tc.want || p.Storage.TryIsolation != tc.try {
				t.Errorf("%q, %q, %v", p.Storage.Isolation, p.Storage.TryIsolation, err)
			}
		})
	}
}

func TestPlanTellsOfAnOverriddenDriverOnce(t *testing.T) {
	_, said, err := planOf(t, config.Default(), map[string]string{"STORAGE_DRIVER": "overlay"})
	if err != nil || strings.Count(said, "STORAGE_DRIVER") == 0 || strings.Count(said, "\n") != 1 {
		t.Errorf("said %q, %v", said, err)
	}
	if _, said, _ := planOf(t, config.Default(), map[string]string{"STORAGE_DRIVER": "vfs"}); said != "" {
		t.Errorf("said %q where nothing is overridden", said)
	}
}

func TestEnvironment(t *testing.T) {
	cfg := config.Default()
	cfg.Job.Environment = []string{"FROM_ADMIN=1", "A=admin", "SYSBOX_HONOR_CAPS=TRUE"}
	p, _, err := planOf(t, cfg, map[string]string{
		"A": "job", "CFG": "content of a file", "SYSBOX_SKIP_UID_SHIFT": "/", "SYSBOX_NO_SUCH": "x", "WITH": "a=b\n$c",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FROM_ADMIN=1", "A=admin", "CFG=/builds/group/project.tmp/CFG", "SYSBOX_HONOR_CAPS=TRUE", "WITH=a=b\n$c"} {
		if !slices.Contains(p.Environment, want) {
			t.Errorf("%q is missing in %q", want, p.Environment)
		}
	}
	for _, kv := range p.Environment {
		if strings.HasPrefix(kv, "SYSBOX_") && kv != "SYSBOX_HONOR_CAPS=TRUE" {
			t.Errorf("%q: the job's, and Sysbox would take it for its own", kv)
		}
	}
	if s := p.Services[0]; !slices.Contains(s.Environment, "X=y") || !slices.Equal(s.Aliases, []string{"redis", "cache", "store"}) {
		t.Errorf("got %+v", s)
	}
}

func TestHostname(t *testing.T) {
	c := &contract.Call{Variables: map[string]string{"CI_RUNNER_SHORT_TOKEN": "a_b-" + strings.Repeat("C", 80), "CI_CONCURRENT_ID": "3"}}
	got := hostname(c, job.Identity{ProjectID: 1 << 62})
	if len(got) > 63 || !strings.HasPrefix(got, "runner-abC") || !strings.HasSuffix(got, "-concurrent-3") {
		t.Errorf("got %q (%d)", got, len(got))
	}
}
