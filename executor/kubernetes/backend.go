// Package kubernetes is the backend for a Kubernetes cluster: each job is one pod. It creates the pod of a job's plan,
// and defines how it is removed.
package kubernetes

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// API is what the backend needs of a cluster; *cluster.Client implements it. Its errors have the classes of
// containerd/errdefs.
type API interface {
	Host() string
	Namespace() string
	CreatePod(context.Context, *corev1.Pod) (*corev1.Pod, error)
	CreateSecret(context.Context, *corev1.Secret) error
	CreateLease(context.Context, *coordinationv1.Lease) error
	RenewLease(ctx context.Context, name string, at time.Time) error
	Leases(ctx context.Context, selector string) ([]coordinationv1.Lease, error)
	OpenGates(ctx context.Context, pod string) error
	Pod(ctx context.Context, name string) (*corev1.Pod, error)
	Pods(ctx context.Context, selector string) ([]corev1.Pod, error)
	WatchPod(ctx context.Context, name string, each func(*corev1.Pod) (done bool, err error)) error
	DeletePod(ctx context.Context, name string, uid types.UID, grace time.Duration) error
	Warnings(ctx context.Context, uid types.UID) ([]string, error)
	Logs(ctx context.Context, pod, container string, lines int64) (string, error)
	EachLog(ctx context.Context, pod, container string, since time.Time, follow bool, each func(at time.Time, line string)) error
}

// Backend uses one namespace of a cluster. It is safe for concurrent use.
type Backend struct {
	API API
	// Exec starts a command in a container of a pod.
	Exec   func(ctx context.Context, pod, container string, command []string) (agentclient.Stream, error)
	Dir    statedir.Dir
	Config config.Kubernetes
	// Class is the storage class of the storage backend ephemeral.
	Class string
	Log   logrus.FieldLogger
}

// Host is the address of the API server with the namespace.
func (b *Backend) Host() string { return b.API.Host() }

// Same reports whether host is the same.
func (b *Backend) Same(host string) bool { return host == b.Host() }

// Meaning classifies an error of the API server for a removal.
func (b *Backend) Meaning(err error) teardown.Meaning { return meaning(err) }

// The containers of a pod.
const (
	installContainer = "agent" // copies the agent before the other containers start
	imageContainer   = "image" // finds out what the job's image says about its processes, and ends
	jobContainer     = "build"
)

// address is the ID of a container: its pod and its name.
func address(pod, container string) string { return pod + "/" + container }

// Inside gives access to the agent in a container. The API server starts all processes. Messages call the container
// name.
func (b *Backend) Inside(id string, _ owner.Process, name string) agentclient.Container {
	pod, container, _ := strings.Cut(id, "/")
	return agentclient.Container{Name: name, Remote: true, Exec: func(ctx context.Context, command []string) (agentclient.Stream, error) {
		s, err := b.Exec(ctx, pod, container, command)
		if err != nil {
			return nil, b.lost(ctx, pod, container, err)
		}
		return stream{s, b, pod, container}, nil
	}}
}

// inside is Inside for the job container.
func (b *Backend) inside(id string) agentclient.Container {
	return b.Inside(id, owner.Process{}, jobcontainer.Name)
}

// stream is a process whose container may have ended for a reason that only the pod tells.
type stream struct {
	agentclient.Stream
	backend        *Backend
	pod, container string
}

// Ended implements agentclient.Stream.
func (s stream) Ended(ctx context.Context) (bool, int, error) {
	ended, code, err := s.Stream.Ended(ctx)
	if err != nil || ended && code > 128 {
		// A process that was killed and a lost connection may both mean that the container has ended.
		if why, _ := s.backend.fateOf(ctx, s.pod, s.container); why != nil {
			return false, 0, &agentclient.EndedError{Err: why}
		}
	}
	return ended, code, err
}

// lost returns why a process could not be started, if its container has ended; otherwise err.
func (b *Backend) lost(ctx context.Context, pod, container string, err error) error {
	if why, _ := b.fateOf(ctx, pod, container); why != nil {
		return &agentclient.EndedError{Err: why}
	}
	return err
}

// endEvery is the time between two looks at a container that is ending.
const endEvery = 250 * time.Millisecond

// Ends reports whether a container has ended or ends within a time.
func (b *Backend) Ends(ctx context.Context, id string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	pod, container, _ := strings.Cut(id, "/")
	for {
		p, err := b.API.Pod(ctx, pod)
		if errdefs.IsNotFound(err) || err == nil && fate(p, container) != nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(endEvery):
		}
	}
}

// WhyEnded returns why the cluster has ended a container.
func (b *Backend) WhyEnded(ctx context.Context, id string) error {
	pod, container, _ := strings.Cut(id, "/")
	if why, known := b.fateOf(ctx, pod, container); known {
		return why
	}
	return nil
}

// EndedByItself reports whether a container has ended although nobody asked the API server for that, and the kubelet did
// not end it either.
func (b *Backend) EndedByItself(ctx context.Context, id string) bool {
	pod, container, _ := strings.Cut(id, "/")
	p, err := b.API.Pod(ctx, pod)
	return err == nil && p.DeletionTimestamp == nil && p.Status.Reason == "" && terminated(p, container) != nil
}

// Ahead implements executor.Backend: all requests of Prepare depend on the job.
func (*Backend) Ahead(context.Context) {}
