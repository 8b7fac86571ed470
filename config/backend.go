package config

import (
	"reflect"
	"slices"
	"strings"
)

// The backends.
const (
	BackendDocker     = "docker"
	BackendKubernetes = "kubernetes"
)

// lack is a key, or with a "." at its end a section, that a backend does not have.
type lack struct {
	key string
	why string
	// fine reports whether the value is one that the backend has; nil if it has none but the default.
	fine func(*Config) bool
}

func (l lack) has(key string) bool {
	return key == l.key || strings.HasSuffix(l.key, ".") && strings.HasPrefix(key, l.key)
}

// fine reports whether the backend has the key's value.
func (c *Config) fine(key string, l lack) bool {
	if l.fine != nil {
		return l.fine(c)
	}
	own, isKey := c.value(key)
	usual, _ := Default().value(key)
	return !isKey || reflect.DeepEqual(own, usual)
}

// value returns the value of a key; false for a section and for an unknown key.
func (c *Config) value(key string) (any, bool) {
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() != reflect.Struct {
			return nil, false
		}
		field, known := fieldOf(v, name)
		if !known {
			return nil, false
		}
		v = field
	}
	return v.Interface(), !isSection(v.Type())
}

const networkOfPods = "the cluster's network and its NetworkPolicies apply"

// kubernetesLacks are what the backend kubernetes does not have. docs/kubernetes.md lists them with their reasons.
var kubernetesLacks = []lack{
	{"runtime", "the runtime is kubernetes.runtime_class", nil},
	{"engine.", "it has no Docker Engine", nil},
	{"network.mode", networkOfPods, nil},
	{"network.mtu", networkOfPods, nil},
	{"network.subnets", networkOfPods, nil},
	{"network.excluded_subnets", networkOfPods, nil},
	{"network.ipv6", networkOfPods, nil},
	{"network.dns", "a pod can have 3 name servers", func(c *Config) bool { return len(c.Network.DNS) <= 3 }},
	{"network.extra_hosts", "a pod cannot find out its node's address; write it instead of host-gateway", func(c *Config) bool {
		return !slices.ContainsFunc(c.Network.ExtraHosts, func(h string) bool { return strings.HasSuffix(h, ":"+hostGateway) })
	}},
	{"images.offer", "images are the kubelet's", func(c *Config) bool { return !c.Images.Offer }},
	{"images.", "images are the kubelet's", nil},
	{"job.allow_image_ids", "a kubelet pulls no image by its ID", nil},
	{"job.pull_policy", "a container has one policy", func(c *Config) bool { return len(c.Job.PullPolicy) == 1 }},
	{"job.emulate", "the nodes' kernels decide which programs run", nil},
	{"job.emulator_dir", "job.emulate is not possible", nil},
	{"job.overrides.memory_swap", "Kubernetes has no such limit", nil},
	{"job.overrides.pids_limit", "it is the kubelet's podPidsLimit", nil},
	{"job.overrides.shm_size", "Kubernetes has no such limit", nil},
	{"container.volumes", "the volumes of pods are kubernetes.volumes", nil},
	{"container.tmpfs", "write a volume of the kind emptyDir with medium Memory in kubernetes.pod_template", nil},
	{"container.devices", "devices are a matter of device plugins", nil},
	{"container.gpus", "devices are a matter of device plugins", nil},
	{"container.labels", "the labels of pods are kubernetes.labels", nil},
	{"container.log_options", "the kubelet rotates logs", nil},
	{"resources.cpuset_cpus", "it is the kubelet's CPU manager", nil},
	{"resources.memory_swap", "Kubernetes has no such limit", nil},
	{"resources.pids_limit", "it is the kubelet's podPidsLimit", func(c *Config) bool { return c.Resources.PidsLimit == 0 }},
	{"resources.shm_size", "Kubernetes has no such limit", nil},
	{"resources.ulimits", "Kubernetes has no such limits", nil},
	{"resources.cgroup_parent", "the kubelet decides on cgroups", nil},
	{"hardening.security_opt", `only "seccomp=unconfined" and "seccomp=builtin" are possible`, func(c *Config) bool {
		return !slices.ContainsFunc(c.Hardening.SecurityOpt, func(o string) bool { return o != "seccomp=unconfined" && o != "seccomp=builtin" })
	}},
	{"storage.backend", `write "ephemeral", "emptydir" or "tmpfs"`, func(c *Config) bool {
		return slices.Contains([]string{"auto", "ephemeral", "emptydir", "tmpfs"}, c.Storage.Backend)
	}},
	{"storage.dir", "the cluster has the volumes", nil},
	{"storage.min_free", "the cluster has the volumes", nil},
	{"storage.overcommit", "the cluster has the volumes", nil},
	{"storage.cache_mounts", "kept volumes are not possible yet", nil},
	{"storage.cache_mounts_size", "kept volumes are not possible yet", nil},
	{"storage.keep", "kept volumes are not possible yet", nil},
	{"storage.keep_size", "kept volumes are not possible yet", nil},
	{"builds.keep", "kept volumes are not possible yet; each job has its own builds folder", func(c *Config) bool { return !c.Builds.Keep }},
	{"cache.keep", "kept volumes are not possible yet; use the Runner's distributed cache", func(c *Config) bool { return !c.Cache.Keep }},
	{"helper.pull_policy", "a container has one policy", func(c *Config) bool { return len(c.Helper.PullPolicy) == 1 }},
	{"helper.runner_binary", "a pod gets no program of this machine; the helper's image has one", nil},
	{"services.runtime", "all containers of a pod have its runtime", nil},
	{"services.stop_grace", "all containers of a pod have the same time to end", nil},
	{"services.tmpfs", "write a volume of the kind emptyDir with medium Memory in kubernetes.pod_template", nil},
	{"services.resources.cpuset_cpus", "it is the kubelet's CPU manager", nil},
	{"services.resources.memory_swap", "Kubernetes has no such limit", nil},
	{"services.resources.pids_limit", "it is the kubelet's podPidsLimit", nil},
	{"services.resources.shm_size", "Kubernetes has no such limit", nil},
	{"services.resources.ulimits", "Kubernetes has no such limits", nil},
	{"services.resources.cgroup_parent", "the kubelet decides on cgroups", nil},
	{"gc.keep_volumes", "it keeps no volumes", nil},
	{"gc.most_volumes", "it keeps no volumes", nil},
	{"gc.volume_size", "it keeps no volumes", nil},
	{"gc.keep_images", "images are the kubelet's", nil},
}

// dockerLacks are what the backend docker does not have.
var dockerLacks = []lack{
	{"kubernetes.", "write backend = \"kubernetes\", or remove the section", nil},
	{"storage.class", "it is for backend = \"kubernetes\"", nil},
	{"storage.backend", `write "auto", "xfs-loop", "volume" or "tmpfs"`, func(c *Config) bool { return c.Storage.Backend != "ephemeral" && c.Storage.Backend != "emptydir" }},
}

// checkBackend refuses each key of the file that the backend does not have, and then gives the keys that the file
// leaves out the values that the backend has.
func (c *Config) checkBackend(k *checker) {
	k.oneOf("backend", c.Backend, []string{BackendDocker, BackendKubernetes})
	if !k.sound("backend") {
		return
	}
	lacks := dockerLacks
	if c.Backend == BackendKubernetes {
		lacks = kubernetesLacks
	}
	for key := range k.lines {
		n := slices.IndexFunc(lacks, func(l lack) bool { return l.has(key) })
		if n >= 0 && k.sound(key) && !c.fine(key, lacks[n]) {
			k.bad(key, "the backend %s does not have this: %s", c.Backend, lacks[n].why)
		}
	}
	if c.Backend == BackendKubernetes {
		c.fitKubernetes(k)
	}
}

// fitKubernetes changes the defaults that are those of Docker.
func (c *Config) fitKubernetes(k *checker) {
	c.Builds.Keep, c.Cache.Keep, c.Images.Offer = false, false, false
	c.Resources.PidsLimit = 0
	if c.Storage.Backend == "auto" {
		c.Storage.Backend = "emptydir"
		if c.Storage.Class != "" {
			c.Storage.Backend = "ephemeral"
		}
	}
	switch {
	case c.Storage.Backend == "ephemeral" && c.Storage.Class == "":
		k.bad("storage.class", `storage.backend = "ephemeral" needs the name of a storage class; write for example "local-xfs"`)
	case c.Storage.Backend != "ephemeral" && c.Storage.Class != "":
		k.bad("storage.class", `%q is only for storage.backend = "ephemeral", and that is %q; remove one`, c.Storage.Class, c.Storage.Backend)
	}
}
