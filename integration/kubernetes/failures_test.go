package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// If a job cannot run, one line says why, and whether the job or the system is at fault.
func TestFailures(t *testing.T) {
	quota := func(t *testing.T) {
		path := jobs("resourcequotas")
		send(t, "POST", path, `{"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}`)
		t.Cleanup(func() { send(t, "DELETE", path+"/none", "") })
		await(t, "the quota", func() bool { return strings.Contains(string(get(t, path+"/none", nil)), `"used"`) })
	}
	for name, c := range map[string]struct {
		further []string
		change  func(*runner.Job)
		before  func(*testing.T)
		outcome runner.Outcome
		want    string
	}{
		"no image": {[]string{`job.allowed_pull_policies = ["if-not-present", "never"]`}, func(j *runner.Job) {
			j.Image.Name = "docker.io/gsx-test/absent"
			j.Image.PullPolicies = []string{"never"}
		}, nil, runner.ScriptFailure, "is not on the node, and the pull policy is never"},
		"no node":      {[]string{`kubernetes.node_selector = ["kind=other"]`, `kubernetes.start_timeout = "5s"`}, nil, nil, runner.SystemFailure, "no node took pod gsx-"},
		"no runtime":   {[]string{`kubernetes.runtime_class = "absent"`}, nil, nil, runner.SystemFailure, `admission control refuses the job's pod: pods`},
		"no agent":     {[]string{`kubernetes.agent_image = "127.0.0.1:1/absent:1"`}, nil, nil, runner.SystemFailure, "the nodes cannot pull the agent's image 127.0.0.1:1/absent:1"},
		"no namespace": {[]string{`kubernetes.namespace = "default"`}, nil, nil, runner.SystemFailure, "the executor's account lacks a right in the cluster"},
		"a quota":      {nil, nil, quota, runner.SystemFailure, "the quota of namespace gitlab-jobs has no room for the job"},
		"too much":     {[]string{`storage.size = "512MiB"`}, func(j *runner.Job) { j.Script = []string{"head -c 700m /dev/zero >$TMPDIR/file; sleep 200"} }, nil, runner.ScriptFailure, "because the job wrote too much"},
		"memory":       {[]string{`resources.memory = "64MiB"`}, func(j *runner.Job) { j.Script = []string{"head -c 300m /dev/zero | tail | wc -c; sleep 1"} }, nil, runner.ScriptFailure, ""},
		"a deadline":   {[]string{`kubernetes.deadline = "15s"`}, func(j *runner.Job) { j.Script = []string{"sleep 100"} }, nil, runner.ScriptFailure, "kubernetes.deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.before != nil {
				c.before(t)
			}
			p := newPlace(t, c.further...)
			j := job("true")
			if c.change != nil {
				c.change(&j)
			}
			r := p.Play(j)
			if r.Outcome != c.outcome || !strings.Contains(r.Log.String(), c.want) {
				t.Error(r)
			}
			p.wantNothing(t)
		})
	}
}

// A key that the backend does not support is an error when the configuration is read. The error names the key.
func TestConfigurationIsRefused(t *testing.T) {
	for _, line := range []string{
		`runtime = "runc"`, `engine.host = "unix:///x"`, `builds.keep = true`, `services.runtime = "runc"`, `helper.runner_binary = "/usr/bin/gitlab-runner"`, `storage.backend = "xfs-loop"`,
		`container.volumes = ["/srv:/srv"]`, `network.ipv6 = true`, `resources.shm_size = "1GiB"`,
	} {
		key, _, _ := strings.Cut(line, " ")
		out, err := newPlace(t, line).try("config")
		if err == nil || !strings.Contains(out, key+": the backend kubernetes does not have this: ") {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
	p := newPlace(t)
	for _, command := range [][]string{{"doctor", "--image", "x"}, {"images", "list"}, {"ps", "--kept"}} {
		if out, err := p.try(command...); err == nil || !strings.Contains(out, "backend") {
			t.Errorf("%q: %v %s", command, err, out)
		}
	}
}

// A storage volume in memory and one of a storage class have their own size.
func TestStorageWithALimit(t *testing.T) {
	folder := filepath.Join(world.cluster, "volume")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	localVolume(t, folder)
	for name, c := range map[string]struct {
		further []string
		want    []string
	}{
		"memory":  {[]string{`storage.backend = "tmpfs"`, `storage.size = "600MiB"`}, []string{"Storage volume: tmpfs, 600MiB.", "type tmpfs 614400"}},
		"a class": {[]string{`storage.backend = "ephemeral"`, `storage.class = "gsx"`}, []string{"Storage volume: ephemeral, 4GiB.", "type ext2/ext3"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.further...)
			r := p.succeed(t, job("echo type $(stat -f -c %T /var/lib/containers) $(df -k --output=size /gsx | tail -1)", "touch /var/lib/containers/file", "df $TMPDIR | tail -1"))
			for _, want := range c.want {
				if !strings.Contains(r.Log.String(), want) {
					t.Errorf("no %q in\n%s", want, r.Log)
				}
			}
			p.wantNothing(t)
		})
	}
}

// localVolume makes a storage class with one volume, a folder of the node.
func localVolume(t *testing.T, folder string) {
	t.Helper()
	send(t, "POST", "/apis/storage.k8s.io/v1/storageclasses", `{"metadata": {"name": "gsx"}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}`)
	t.Cleanup(func() { send(t, "DELETE", "/apis/storage.k8s.io/v1/storageclasses/gsx", "") })
	send(t, "POST", "/api/v1/persistentvolumes", fmt.Sprintf(`{"metadata": {"name": "gsx"}, "spec": {"capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"],
		"persistentVolumeReclaimPolicy": "Retain", "storageClassName": "gsx", "local": {"path": %q},
		"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["gsx-node"]}]}]}}}}`, folder))
	t.Cleanup(func() { send(t, "DELETE", "/api/v1/persistentvolumes/gsx", "") })
}
