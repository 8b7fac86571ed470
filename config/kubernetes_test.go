package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// refusals are the messages about a file, without the file's name; none if it is fine.
func refusals(t *testing.T, data string) []string {
	t.Helper()
	_, err := read("c.toml", data, func(string) string { return "" })
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

const pods = "backend = \"kubernetes\"\nkubernetes.agent_image = \"agent:1\"\n"

func TestKubernetes(t *testing.T) {
	for name, c := range map[string]struct{ data, want string }{
		"the least":                           {pods, ""},
		"no image":                            {"backend = \"kubernetes\"\n", `kubernetes.agent_image: "" is not the name of an image`},
		"an unknown backend":                  {"backend = \"podman\"\n", `backend: "podman" is not possible; write one of "docker", "kubernetes"`},
		"everything":                          {pods + "[kubernetes]\n", ""},
		"a class":                             {pods + "storage.class = \"xfs\"\n", ""},
		"ephemeral":                           {pods + "storage.backend = \"ephemeral\"\n", `storage.class: storage.backend = "ephemeral" needs`},
		"a class too many":                    {pods + "storage.backend = \"tmpfs\"\nstorage.class = \"xfs\"\n", `storage.class: "xfs" is only for`},
		"an engine":                           {pods + "engine.host = \"unix:///x\"\n", "engine.host: the backend kubernetes does not have this: it has no Docker Engine"},
		"a runtime":                           {pods + "runtime = \"runc\"\n", "runtime: the backend kubernetes does not have this"},
		"a default":                           {pods + "engine.timeout = \"2m\"\n", ""},
		"kept builds":                         {pods + "builds.keep = true\n", "builds.keep: the backend kubernetes does not have this: kept volumes"},
		"no kept builds":                      {pods + "builds.keep = false\ncache.keep = false\n", ""},
		"a disk":                              {pods + "storage.backend = \"xfs-loop\"\n", `storage.backend: the backend kubernetes does not have this: write "ephemeral"`},
		"two policies":                        {pods + "job.pull_policy = [\"always\", \"never\"]\n", "job.pull_policy: the backend kubernetes does not have this"},
		"a helper":                            {pods + "helper.mode = \"container\"\nhelper.image = \"helper:1\"\nhelper.pull_policy = [\"always\"]\n", ""},
		"its policies":                        {pods + "helper.pull_policy = [\"always\", \"never\"]\n", "helper.pull_policy: the backend kubernetes does not have this"},
		"its program":                         {pods + "helper.runner_binary = \"/usr/bin/gitlab-runner\"\n", "helper.runner_binary: the backend kubernetes does not have this"},
		"a namespace":                         {pods + "kubernetes.namespace = \"A\"\n", `kubernetes.namespace: "A" is not the name of an object`},
		"our label":                           {pods + "kubernetes.labels = [\"io.gitlab-sysbox-executor.name=x\"]\n", "kubernetes.labels: io.gitlab-sysbox-executor.name has a part of the executor's own labels"},
		"a label's value":                     {pods + "kubernetes.labels = [\"a=b c\"]\n", "kubernetes.labels: a has a value that no label can have"},
		"an annotation":                       {pods + "kubernetes.annotations = [\"a=b c\"]\n", ""},
		"a toleration":                        {pods + "kubernetes.tolerations = [\"a\", \"a:NoExecute\", \"a=b:NoSchedule\"]\n", ""},
		"no toleration":                       {pods + "kubernetes.tolerations = [\"a:Never\"]\n", `kubernetes.tolerations: "a:Never" is not key`},
		"no time":                             {pods + "kubernetes.deadline = \"0s\"\n", "kubernetes.deadline: must be greater than zero"},
		"services":                            {pods + "services.limit = 3\nservices.resources.memory = \"1GiB\"\n", ""},
		"a runtime of them":                   {pods + "services.runtime = \"runc\"\n", "services.runtime: the backend kubernetes does not have this"},
		"a profile":                           {pods + "hardening.security_opt = [\"seccomp=/etc/x.json\"]\n", "hardening.security_opt: the backend kubernetes does not have this"},
		"volumes":                             {pods + "kubernetes.volumes = [\"secret:a:/etc/a\", \"configmap:b:/run/b\", \"claim:c:/c\", \"claim:c:/d:ro\", \"token:https://x:1:/var/run/secrets/x\"]\n", ""},
		"no volume a:/etc/a":                  {pods + "kubernetes.volumes = [\"a:/etc/a\"]\n", "kubernetes.volumes: \"a:/etc/a\" is not kind:name:path"},
		"no volume secret:A:/etc/a":           {pods + "kubernetes.volumes = [\"secret:A:/etc/a\"]\n", "kubernetes.volumes: \"secret:A:/etc/a\" is not kind:name:path"},
		"no volume secret:a:etc":              {pods + "kubernetes.volumes = [\"secret:a:etc\"]\n", "kubernetes.volumes: \"secret:a:etc\" is not kind:name:path"},
		"no volume secret:a:/etc/a:ro":        {pods + "kubernetes.volumes = [\"secret:a:/etc/a:ro\"]\n", "kubernetes.volumes: \"secret:a:/etc/a:ro\" is not kind:name:path"},
		"no volume volume:a:/a":               {pods + "kubernetes.volumes = [\"volume:a:/a\"]\n", "kubernetes.volumes: \"volume:a:/a\" is not kind:name:path"},
		"no volume token:a b:/a":              {pods + "kubernetes.volumes = [\"token:a b:/a\"]\n", "kubernetes.volumes: \"token:a b:/a\" is not kind:name:path"},
		"no volume claim:a":                   {pods + "kubernetes.volumes = [\"claim:a\"]\n", "kubernetes.volumes: \"claim:a\" is not kind:name:path"},
		"no volume secret:a:/":                {pods + "kubernetes.volumes = [\"secret:a:/\"]\n", "kubernetes.volumes: \"secret:a:/\" is not kind:name:path"},
		"a volume on ours":                    {pods + "kubernetes.volumes = [\"secret:a:/builds/a\"]\n", "the path overlaps job.builds_dir"},
		"two at one path":                     {pods + "kubernetes.volumes = [\"secret:a:/run/a\", \"secret:b:/var/run/a\"]\n", "the path is the same as that of \"secret:a:/run/a\""},
		"at the token's":                      {pods + "kubernetes.service_account = \"x\"\nkubernetes.volumes = [\"secret:a:/var/run/secrets/kubernetes.io/serviceaccount\"]\n", "the token of kubernetes.service_account is at that path"},
		"a template":                          {pods + "kubernetes.pod_template = \"metadata: {labels: {a: b}}\\nspec: {affinity: {}, volumes: [{name: x, emptyDir: {}}], containers: [{name: build, volumeMounts: [{name: x, mountPath: /x}]}, {name: y, image: y:1}]}\"\n", ""},
		"template: no map":                    {pods + "kubernetes.pod_template = \"text\"\n", "it is not a map"},
		"template: no YAML":                   {pods + "kubernetes.pod_template = \"a: [\"\n", "did not find"},
		"template: an unknown field":          {pods + "kubernetes.pod_template = \"spec: {nope: 1}\"\n", "unknown field \"nope\""},
		"template: a wrong type":              {pods + "kubernetes.pod_template = \"spec: {affinity: 1}\"\n", "cannot unmarshal"},
		"template: twice":                     {pods + "kubernetes.pod_template = \"spec: {affinity: {}, affinity: {}}\"\n", "already set"},
		"template: a directive":               {pods + "kubernetes.pod_template = \"spec: {containers: [{name: build, $patch: delete}]}\"\n", "spec.containers[0] has the directive $patch: a template only adds"},
		"template: null":                      {pods + "kubernetes.pod_template = \"spec: {hostUsers: null}\"\n", "spec.hostUsers is null: a template only adds"},
		"template: a name":                    {pods + "kubernetes.pod_template = \"metadata: {name: x}\"\n", "metadata may have labels and annotations, and nothing else"},
		"template: our label in it":           {pods + "kubernetes.pod_template = \"metadata: {labels: {io.gitlab-sysbox-executor.name: x}}\"\n", "has a part of the executor's own labels"},
		"template: the host's network":        {pods + "kubernetes.pod_template = \"spec: {hostNetwork: true}\"\n", "spec.hostNetwork is not possible: it would take the job's isolation away"},
		"template: host users":                {pods + "kubernetes.pod_template = \"spec: {hostUsers: false}\"\n", "spec.hostUsers is not possible"},
		"template: a node":                    {pods + "kubernetes.pod_template = \"spec: {nodeName: x}\"\n", "spec.nodeName is not possible: the scheduler"},
		"template: a deadline in it":          {pods + "kubernetes.pod_template = \"spec: {activeDeadlineSeconds: 1}\"\n", "write kubernetes.deadline"},
		"template: a host path":               {pods + "kubernetes.pod_template = \"spec: {volumes: [{name: x, hostPath: {path: /}}]}\"\n", "the volume x shows the node's folder / to jobs"},
		"template: our volume":                {pods + "kubernetes.pod_template = \"spec: {volumes: [{name: storage, emptyDir: {}}]}\"\n", "the volume storage has the name of one of the executor's"},
		"template: privileged":                {pods + "kubernetes.pod_template = \"spec: {containers: [{name: build, securityContext: {privileged: true}}]}\"\n", "container build is privileged, which Sysbox refuses"},
		"template: an image":                  {pods + "kubernetes.pod_template = \"spec: {initContainers: [{name: agent, image: x}]}\"\n", "image of container agent is not possible"},
		"template: a container without image": {pods + "kubernetes.pod_template = \"spec: {containers: [{name: x}]}\"\n", "container \"x\" is none of the executor's"},
		"template: a user":                    {pods + "kubernetes.pod_template = \"spec: {containers: [{name: build, securityContext: {runAsUser: 1}}]}\"\n", "securityContext.runAsUser of container build is not possible"},
		"template: a mount on ours":           {pods + "kubernetes.pod_template = \"spec: {containers: [{name: build, volumeMounts: [{name: x, mountPath: /opt/gitlab-sysbox-executor}]}]}\"\n", "which holds the executor's agent"},
		"network":                             {pods + "network.dns = [\"192.0.2.1\"]\nnetwork.dns_search = [\"example.com\"]\nnetwork.extra_hosts = [\"a:192.0.2.2\"]\nhardening.sysctls = [\"net.core.somaxconn=1024\"]\n", ""},
		"the host's address":                  {pods + "network.extra_hosts = [\"a:host-gateway\"]\n", "network.extra_hosts: the backend kubernetes does not have this: a pod cannot find out"},
		"docker with a class":                 {"storage.class = \"xfs\"\n", "storage.class: the backend docker does not have this"},
		"docker with pods":                    {"kubernetes.namespace = \"a\"\n", "kubernetes.namespace: the backend docker does not have this"},
		"docker in emptydir":                  {"storage.backend = \"emptydir\"\n", "storage.backend: the backend docker does not have this"},
	} {
		t.Run(name, func(t *testing.T) {
			got := refusals(t, c.data)
			if c.want == "" && len(got) > 0 || c.want != "" && !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, c.want) }) || len(got) > 1 {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Every key of the tables exists. A key that the backend does not have is either refused or has its default.
func TestLacksNameKeys(t *testing.T) {
	keys := keysOf(reflect.TypeFor[Config]())
	for _, l := range slices.Concat(kubernetesLacks, dockerLacks) {
		if !slices.ContainsFunc(keys, func(k string) bool { return k == l.key || strings.HasSuffix(l.key, ".") && strings.HasPrefix(k, l.key) }) {
			t.Errorf("there is no key %s", l.key)
		}
	}
}

// A key that the file leaves out has a value that the backend supports.
func TestKubernetesDefaults(t *testing.T) {
	c, err := read("c.toml", pods+"storage.class = \"xfs\"\n", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if c.Storage.Backend != "ephemeral" || c.Builds.Keep || c.Cache.Keep || c.Images.Offer || c.Helper.Mode != "auto" || c.Resources.PidsLimit != 0 {
		t.Errorf("%+v", c)
	}
	if c, err = read("c.toml", pods, func(string) string { return "" }); err != nil || c.Storage.Backend != "emptydir" {
		t.Errorf("%+v, %v", c, err)
	}
}
