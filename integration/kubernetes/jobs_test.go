package kubernetes

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/runner"
)

func (p *place) try(args ...string) (string, error) {
	out, err := exec.Command(world.binary, append([]string{"--config", p.config}, args...)...).CombinedOutput()
	return string(out), err
}

// A job runs through all stages, as root of a user namespace, with the settings that Docker's jobs have. Nothing is left.
func TestJob(t *testing.T) {
	p := newPlace(t)
	j := job(
		"id -u", "cat /proc/self/uid_map", "echo TMPDIR=$TMPDIR DRIVER=$STORAGE_DRIVER ISOLATION=$BUILDAH_ISOLATION CONF=$CONTAINERS_CONF",
		"stat -c 'mode %a' $TMPDIR", "ps -o args= 1", "touch $TMPDIR/file /cache/file", "hostname",
		"env -i buildah info | grep -o vfs",
	)
	j.AfterScript = []string{"echo after $(cat /proc/1/comm)"}
	r := p.succeed(t, j)
	text := r.Log.String()
	for _, want := range []string{
		"\n0\n", "TMPDIR=/gsx/tmp DRIVER=vfs ISOLATION=chroot CONF=/etc/containers/containers.conf", "mode 1777", "agent init", "after agent",
		"Waiting for pod gsx-", "The pod is on node gsx-node.", "Storage volume: emptydir, 4GiB, enforced by eviction.", "\nvfs\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "0          0 4294967295") || strings.Contains(text, "WARNING") {
		t.Error(text)
	}
	if got := strings.Join(r.Stages(), " "); !strings.HasPrefix(got, "config prepare prepare_script") || !strings.HasSuffix(got, "cleanup") {
		t.Error(got)
	}
	t.Logf("prepare %s, script %s, cleanup %s", r.Call("prepare").Duration, r.Call("build_script").Duration, r.Call("cleanup").Duration)
	p.wantNothing(t)
}

// The image's own user and folder are found out from inside. The image's entrypoint does not run; the job's does.
func TestUsersAndEntrypoints(t *testing.T) {
	p := newPlace(t)
	j := job("echo I am $(id -un) $(id -u) $(id -Gn)", "echo CONF=$CONTAINERS_CONF", "echo image $OF_THE_IMAGE", "buildah info | grep -o vfs")
	j.Image.Name = builderImage
	r := p.succeed(t, j)
	for _, want := range []string{"I am builder 1000 builder", "CONF=/etc/containers/containers-rootless.conf", "image yes", "\nvfs\n"} {
		if !strings.Contains(r.Log.String(), want) {
			t.Errorf("no %q in\n%s", want, r.Log)
		}
	}
	j.Image.User = "root"
	j.Image.Entrypoint = []string{"/bin/sh", "-c", `echo entered $(pwd) $(id -un); export ENTERED='$(CI_JOB_TOKEN)'; exec "$@"`, "entry"}
	j.Script = []string{"echo I am $(id -un), entered $ENTERED"}
	r = p.succeed(t, j)
	for _, want := range []string{"entered /srv root", "I am root, entered $(CI_JOB_TOKEN)"} {
		if !strings.Contains(r.Log.String(), want) {
			t.Errorf("no %q in\n%s", want, r.Log)
		}
	}
	p.wantNothing(t)
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// The variables of a job are in its containers and in no object that users of the cluster can read, other than secrets.
// These have the job's labels, are owned by the pod, and the executor's own account cannot read them.
func TestHostileSecretsAreOnlyInSecrets(t *testing.T) {
	const secret = "glcbt-64_do-not-show"
	p := newPlace(t)
	j := job("true")
	j.Variables = append(j.Variables, runner.Variable{Key: "PASSWORD", Value: secret, Masked: true},
		runner.Var("DOCKER_AUTH_CONFIG", `{"auths": {"docker.io": {"username": "ci", "password": "`+secret+`"}}}`))
	j.Token = secret
	s := p.prepared(t, j)
	for _, kind := range []string{"pods", "events", "configmaps"} {
		if text := get(t, jobs(kind), nil); strings.Contains(string(text), secret) {
			t.Errorf("the secret is in %s", kind)
		}
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name            string
				Labels          map[string]string
				OwnerReferences []struct{ Kind, UID string }
			}
			Data map[string][]byte
		}
	}
	if err := json.Unmarshal(get(t, jobs("secrets"), nil), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, s := range list.Items {
		m := s.Metadata
		if len(m.OwnerReferences) != 1 || m.OwnerReferences[0].Kind != "Pod" || m.OwnerReferences[0].UID != string(pods(t)[0].UID) || m.Labels["io.gitlab-sysbox-executor.name"] == "" {
			t.Errorf("%+v", m)
		}
		for name, value := range s.Data {
			found[name] = strings.Contains(string(value), secret)
		}
	}
	if len(list.Items) != 2 || !found["PASSWORD"] || !found[".dockerconfigjson"] {
		t.Errorf("%d secrets, %v", len(list.Items), found)
	}
	call := s.RunScript(t.Context(), runner.StageBuild, "test \"$PASSWORD\" = "+secret+" && env | grep -c dockerconfigjson || true")
	if call.Err != nil || !strings.Contains(call.Output.String(), "0") {
		t.Error(call)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}

// try plays a Runner for one job, and enter starts a command in a job.
func TestCommandsForPeople(t *testing.T) {
	p := newPlace(t)
	out := p.command(t, "try", "--image", buildahImage, "--", "echo tried as $(id -un)")
	if !strings.Contains(out, "tried as root") {
		t.Error(out)
	}
	p.wantNothing(t)
	s := p.prepared(t, job("true"))
	if out := p.command(t, "enter", strconv.FormatInt(s.Job.ID, 10), "--", "sh", "-c", "echo entered $TMPDIR $STORAGE_DRIVER"); !strings.Contains(out, "entered /gsx/tmp vfs") {
		t.Error(out)
	}
	if out := p.command(t, "metrics"); !strings.Contains(out, "gitlab_sysbox_executor_") {
		t.Error(out)
	}
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	p.wantNothing(t)
}
