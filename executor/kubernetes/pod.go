package kubernetes

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imageconfig"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// The volumes of a pod.
const (
	agentVolume   = "agent" // the agent and its files
	factsVolume   = "facts" // what the image container finds
	storageVolume = "storage"
	buildsVolume  = "builds"
	cacheVolume   = "cache"
)

const (
	// factsDir is where the facts about the image are in the containers.
	factsDir  = agent.Dir + "-facts"
	factsFile = factsDir + "/image.json"
	// installDir is where the container of the agent's own image has the agent's volume.
	installDir = "/install"
	// settingsFolder has the settings of container tools, below the agent's volume.
	settingsFolder = "settings"
)

// The secrets of a job. The pod owns them.
func environmentSecret(i job.Identity) string { return i.Name() + "-environment" }
func registrySecret(i job.Identity) string    { return i.Name() + "-registry" }

// gate keeps a pod from the scheduler until its secrets exist.
const gate = "gitlab-sysbox-executor/secrets"

// pod describes the pod of a job. Nothing in it is secret: the environment is in a secret.
func (b *Backend) pod(p job.Plan, k known) (*corev1.Pod, error) {
	install, err := b.install(p)
	if err != nil {
		return nil, err
	}
	build, err := b.build(p, k.image(0))
	if err != nil {
		return nil, err
	}
	// The kubelet starts containers in their order, and ends the hook of one before it starts the next
	// (pkg/kubelet/kuberuntime, SyncPod). The first two could be init containers, but it notices the end of one of those only
	// when it looks, once a second. The job container comes before the others: it takes the names of its sockets.
	containers := []corev1.Container{install, build, b.imageFacts(p)}
	for n := range p.Services {
		c, err := b.service(p, n, k.image(n+1))
		if err != nil {
			return nil, err
		}
		containers = append(containers, c)
	}
	if p.Helper.Possible() {
		c, err := b.helper(p)
		if err != nil {
			return nil, err
		}
		containers = append(containers, c)
	}
	no, deadline, grace := false, int64(time.Duration(b.Config.Deadline)/time.Second), int64(stopGrace/time.Second)
	spec := corev1.PodSpec{
		HostUsers: &no, RestartPolicy: corev1.RestartPolicyNever, EnableServiceLinks: &no,
		ActiveDeadlineSeconds: &deadline, TerminationGracePeriodSeconds: &grace,
		SchedulingGates:    []corev1.PodSchedulingGate{{Name: gate}},
		ServiceAccountName: b.Config.ServiceAccount, AutomountServiceAccountToken: &no,
		NodeSelector: config.Pairs(b.Config.NodeSelector), PriorityClassName: b.Config.PriorityClass,
		Hostname:   strings.ToLower(p.Hostname),
		Containers: containers, HostAliases: b.hostAliases(p),
		Volumes: []corev1.Volume{emptyDir(agentVolume, nil), emptyDir(factsVolume, nil), b.storage(p), emptyDir(buildsVolume, nil), emptyDir(cacheVolume, nil)},
	}
	configured, _ := b.configured()
	spec.Volumes = append(spec.Volumes, configured...)
	b.addNetwork(p, &spec)
	if b.Config.RuntimeClass != "" {
		spec.RuntimeClassName = &b.Config.RuntimeClass
	}
	for _, text := range b.Config.Tolerations {
		t, _ := config.ParseToleration(text)
		toleration := corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(t.Effect)}
		if t.Value != "" {
			toleration.Operator, toleration.Value = corev1.TolerationOpEqual, t.Value
		}
		spec.Tolerations = append(spec.Tolerations, toleration)
	}
	for _, name := range b.Config.ImagePullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if len(k.logins) > 0 {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: registrySecret(p.Identity)})
	}
	meta := b.meta(p.Identity, p.Identity.Name(), job.RoleBuild)
	maps.Copy(meta.Annotations, p.KeepLabel())
	pod := &corev1.Pod{ObjectMeta: meta, Spec: spec}
	return pod, b.addTemplate(pod)
}

// install is the container that puts the agent, and the settings of container tools, on a volume. Its hook ends when that
// is done.
func (b *Backend) install(p job.Plan) (corev1.Container, error) {
	files := []agent.InstallFile{{Name: jobcontainer.RuncFile, Text: string(jobcontainer.RuncText), Mode: 0o755}}
	for _, f := range settings(p) {
		files = append(files, agent.InstallFile{Name: path.Join(settingsFolder, f.Name), Text: f.Text, Mode: 0o644})
	}
	units := sysbox.SystemdConfig(jobcontainer.ToolDefaults(""))
	files = append(files, agent.InstallFile{Name: path.Join(settingsFolder, systemdFile), Text: string(units), Mode: 0o644})
	request := agent.InstallRequest{Files: files}
	if storage.OnVolume(p.Storage.TMPDIR) { // a service may need it before the job container has made it
		request.Folders = []agent.Folder{jobcontainer.TMPDIR(p.Storage)}
	}
	text, err := json.Marshal(request)
	if err != nil {
		return corev1.Container{}, err
	}
	return corev1.Container{
		Name: installContainer, Image: b.Config.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Command:   literal("/agent", "agent", "install", installDir, string(text)),
		Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/agent", "agent", "installed", installDir}}}},
		// The log says why it ended.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts: []corev1.VolumeMount{
			{Name: agentVolume, MountPath: installDir}, {Name: storageVolume, MountPath: storage.Mountpoint}, {Name: storageVolume, MountPath: storage.ShortMountpoint},
		},
		SecurityContext: rights(config.Hardening{CapDrop: []string{"ALL"}}, &root),
	}, nil
}

// settings are the files with the settings of container tools.
func settings(p job.Plan) []storage.File {
	return toolconf.Files(p.Storage, jobcontainer.CertainLimits(p.Resources))
}

// imageFacts is the container of the job's image that runs as the image's own user, in its own folder, and writes both
// down.
func (b *Backend) imageFacts(p job.Plan) corev1.Container {
	return corev1.Container{
		Name: imageContainer, Image: p.Image.Reference, ImagePullPolicy: pullPolicy(p.Image),
		Command:         literal(agent.Command("image", factsFile)...),
		VolumeMounts:    []corev1.VolumeMount{agentMount, {Name: factsVolume, MountPath: factsDir}},
		SecurityContext: rights(config.Hardening{CapDrop: []string{"ALL"}}, nil),
	}
}

// agentMount is the agent's volume in the containers of the job.
var agentMount = corev1.VolumeMount{Name: agentVolume, MountPath: agent.Dir, ReadOnly: true}

// mounts are those of the job container.
func (b *Backend) mounts(p job.Plan) []corev1.VolumeMount {
	all := []corev1.VolumeMount{
		agentMount, {Name: factsVolume, MountPath: factsDir, ReadOnly: true},
		{Name: storageVolume, MountPath: storage.Mountpoint}, {Name: storageVolume, MountPath: storage.ShortMountpoint},
		{Name: buildsVolume, MountPath: p.Folders.Builds}, {Name: cacheVolume, MountPath: p.Folders.Cache},
	}
	for _, f := range settings(p) {
		all = append(all, corev1.VolumeMount{Name: agentVolume, SubPath: path.Join(settingsFolder, f.Name), MountPath: f.Path, ReadOnly: true})
	}
	_, configured := b.configured()
	return append(all, configured...)
}

// targets are the paths of mounts.
func targets(all []corev1.VolumeMount) (paths []string) {
	for _, m := range all {
		paths = append(paths, m.MountPath)
	}
	return paths
}

// firstProcess is the request to the agent that is the first process of the job container.
func firstProcess(p job.Plan, img imageconfig.Config, mounts []corev1.VolumeMount) agent.InitRequest {
	o := jobcontainer.InitRequest(p, jobcontainer.First{
		User: p.User, Entrypoint: jobcontainer.Entrypoint(p.Entrypoint, img.Entrypoint), Targets: targets(mounts),
	})
	o.Facts, o.Pod = factsFile, true
	// The kubelet lets everybody write to the root of a volume.
	o.Folders = slices.Insert(o.Folders, 0, agent.Folder{Path: storage.Mountpoint, Mode: 0o755})
	return o
}

// build is the job container.
func (b *Backend) build(p job.Plan, img imageconfig.Config) (corev1.Container, error) {
	mounts := b.mounts(p)
	request, err := jobcontainer.RequestWord(firstProcess(p, img, mounts))
	if err != nil {
		return corev1.Container{}, err
	}
	c := corev1.Container{
		Name: jobContainer, Image: p.Image.Reference, ImagePullPolicy: pullPolicy(p.Image),
		Command:      literal(append(agent.Command("init"), request)...),
		EnvFrom:      fromSecret(environmentSecret(p.Identity)),
		VolumeMounts: mounts, Resources: resourcesOf(p.Resources), SecurityContext: rights(p.Hardening, &root),
	}
	return c, b.arrangeSystemd(p, jobcontainer.FirstProcess{Systemd: p.Systemd, Entrypoint: p.Entrypoint}, processOf(img), &c)
}

// fromSecret is the environment in a secret.
func fromSecret(name string) []corev1.EnvFromSource {
	return []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
}

// literal protects a command from the kubelet, which replaces $(NAME) in it.
func literal(command ...string) (all []string) {
	for _, word := range command {
		all = append(all, strings.ReplaceAll(word, "$", "$$"))
	}
	return all
}

var root = int64(0)

// rights are those of a container. A nil user is the image's own.
func rights(h config.Hardening, user *int64) *corev1.SecurityContext {
	c := &corev1.SecurityContext{RunAsUser: user, RunAsGroup: user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	if slices.Contains(h.SecurityOpt, "seccomp=unconfined") {
		c.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
	}
	capabilities := func(names []string) (all []corev1.Capability) {
		for _, name := range names {
			all = append(all, corev1.Capability(strings.TrimPrefix(name, "CAP_")))
		}
		return all
	}
	if len(h.CapAdd)+len(h.CapDrop) > 0 {
		c.Capabilities = &corev1.Capabilities{Add: capabilities(h.CapAdd), Drop: capabilities(h.CapDrop)}
	}
	return c
}

// resourcesOf are the limits of the job container. Without a reservation Kubernetes reserves as much as the limit.
func resourcesOf(r config.Resources) corev1.ResourceRequirements {
	limits, requests := corev1.ResourceList{}, corev1.ResourceList{}
	if r.CPUs > 0 {
		limits[corev1.ResourceCPU] = *resource.NewMilliQuantity(int64(r.CPUs*1000), resource.DecimalSI)
	}
	if r.Memory > 0 {
		limits[corev1.ResourceMemory] = bytes(int64(r.Memory))
	}
	if r.MemoryReservation > 0 {
		requests[corev1.ResourceMemory] = bytes(int64(r.MemoryReservation))
	}
	return corev1.ResourceRequirements{Limits: limits, Requests: requests}
}

func bytes(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.BinarySI) }

// pullPolicy is that of the image's only policy.
func pullPolicy(r image.Request) corev1.PullPolicy {
	switch r.Policies[0] {
	case image.Never:
		return corev1.PullNever
	case image.IfNotPresent:
		return corev1.PullIfNotPresent
	}
	return corev1.PullAlways
}

// The storage backends of this package; storage.Tmpfs is the third.
const (
	Ephemeral = "ephemeral"
	EmptyDir  = "emptydir"
)

// hard reports whether a storage backend has its own file system, which enforces the limit.
func hard(backend string) bool { return backend != EmptyDir }

// storage is the job's storage volume.
func (b *Backend) storage(p job.Plan) corev1.Volume {
	size := bytes(p.Volume.Size)
	switch p.Volume.Backend {
	case Ephemeral:
		return corev1.Volume{Name: storageVolume, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
			VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
				ObjectMeta: metav1.ObjectMeta{Labels: b.meta(p.Identity, "", job.RoleStorage).Labels},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &b.Class,
					Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
				},
			},
		}}}
	case storage.Tmpfs:
		v := emptyDir(storageVolume, &size)
		v.EmptyDir.Medium = corev1.StorageMediumMemory
		return v
	}
	return emptyDir(storageVolume, &size)
}

func emptyDir(name string, limit *resource.Quantity) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: limit}}}
}
