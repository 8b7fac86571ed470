package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// memory is a namespace in memory. Its pods go through the states of life when they are released to the scheduler.
type memory struct {
	mu      sync.Mutex
	pods    map[string]*corev1.Pod
	secrets []*corev1.Secret
	leases  map[string]*coordinationv1.Lease
	life    []func(*corev1.Pod)
	fail    map[string]error // by the name of a method
	calls   []string
	events  []string
}

func (m *memory) call(name string) error {
	m.calls = append(m.calls, name)
	return m.fail[name]
}

func (m *memory) Host() string      { return "https://memory/namespaces/jobs" }
func (m *memory) Namespace() string { return "jobs" }

func (m *memory) CreatePod(_ context.Context, p *corev1.Pod) (*corev1.Pod, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("CreatePod"); err != nil {
		return nil, err
	}
	if m.pods[p.Name] != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, errdefs.ErrConflict)
	}
	made := p.DeepCopy()
	made.UID, made.CreationTimestamp = types.UID(fmt.Sprintf("uid-%d", len(m.calls))), metav1.Now()
	m.pods[p.Name] = made
	return made.DeepCopy(), nil
}

func (m *memory) CreateSecret(_ context.Context, s *corev1.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("CreateSecret"); err != nil {
		return err
	}
	m.secrets = append(m.secrets, s)
	return nil
}

func (m *memory) CreateLease(_ context.Context, l *coordinationv1.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("CreateLease"); err != nil {
		return err
	}
	m.leases[l.Name] = l.DeepCopy()
	return nil
}

func (m *memory) RenewLease(_ context.Context, name string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("RenewLease"); err != nil {
		return err
	}
	if m.leases[name] == nil {
		return errdefs.ErrNotFound
	}
	m.leases[name].Spec.RenewTime = &metav1.MicroTime{Time: at}
	return nil
}

func (m *memory) Leases(context.Context, string) (all []coordinationv1.Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.leases {
		all = append(all, *l)
	}
	return all, m.call("Leases")
}

func (m *memory) OpenGates(_ context.Context, pod string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("OpenGates"); err != nil {
		return err
	}
	m.pods[pod].Spec.SchedulingGates = nil
	return nil
}

func (m *memory) Pod(_ context.Context, name string) (*corev1.Pod, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("Pod"); err != nil {
		return nil, err
	}
	if m.pods[name] == nil {
		return nil, fmt.Errorf("%s: %w", name, errdefs.ErrNotFound)
	}
	return m.pods[name].DeepCopy(), nil
}

func (m *memory) Pods(context.Context, string) (all []corev1.Pod, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("Pods"); err != nil {
		return nil, err
	}
	for _, p := range m.pods {
		all = append(all, *p)
	}
	return all, nil
}

func (m *memory) WatchPod(ctx context.Context, name string, each func(*corev1.Pod) (bool, error)) error {
	if err := m.fail["WatchPod"]; err != nil {
		return err
	}
	for n := 0; ; n++ {
		m.mu.Lock()
		p := m.pods[name]
		if p != nil && n > 0 && n <= len(m.life) {
			m.life[n-1](p)
		}
		if p != nil {
			p = p.DeepCopy()
		}
		m.mu.Unlock()
		if done, err := each(p); done || err != nil || p == nil {
			return err
		}
		if n >= len(m.life) {
			<-ctx.Done()
			return context.Cause(ctx)
		}
	}
}

func (m *memory) DeletePod(_ context.Context, name string, uid types.UID, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("DeletePod"); err != nil {
		return err
	}
	switch {
	case m.pods[name] == nil:
		return errdefs.ErrNotFound
	case m.pods[name].UID != uid:
		return errdefs.ErrConflict
	}
	delete(m.pods, name)
	return nil
}

func (m *memory) Warnings(context.Context, types.UID) ([]string, error) { return m.events, nil }

func (m *memory) Logs(context.Context, string, string, int64) (string, error) { return "", nil }

func (m *memory) EachLog(context.Context, string, string, time.Time, bool, func(time.Time, string)) error {
	return nil
}

func inMemory(t *testing.T, life ...func(*corev1.Pod)) (*Backend, *memory) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	m := &memory{pods: map[string]*corev1.Pod{}, leases: map[string]*coordinationv1.Lease{}, fail: map[string]error{}, life: life}
	c := config.Default().Kubernetes
	c.AgentImage, c.StartTimeout = "agent:1", config.Duration(100*time.Millisecond)
	return &Backend{
		API: m, Dir: statedir.Dir(t.TempDir()), Config: c, Log: log,
		Exec: func(context.Context, string, string, []string) (agentclient.Stream, error) {
			return nil, errors.New("there is no process")
		},
	}, m
}

// aPlan is the plan of a job.
func aPlan() job.Plan {
	return job.Plan{
		Identity: job.Identity{Server: "gitlab.example.com:8443", RunnerID: 1, ProjectID: 2, PipelineID: 3, JobID: 4},
		Hostname: "Runner-X",
		Image:    image.Request{Reference: "debian:12", Policies: []image.Policy{image.Always}},
		Storage:  storage.Settings{Driver: "vfs", TMPDIR: "/gsx/tmp"},
		Volume:   job.Volume{Backend: EmptyDir, Size: 1 << 30},
		Folders:  job.Folders{Builds: "/builds", Cache: "/cache"},
	}
}
