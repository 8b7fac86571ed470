package app

import (
	"context"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/cluster"
	"gitlab-sysbox-executor/executor/kubernetes"
	"gitlab-sysbox-executor/executor/statedir"
)

// withPods is WithJobs for the backend kubernetes.
func (a *App) withPods(do func(*Jobs) error) error {
	return a.WithCluster(func(_ *cluster.Client, j *Jobs) error { return do(j) })
}

// WithCluster connects to the cluster and calls do. The configuration must name the backend kubernetes.
func (a *App) WithCluster(do func(*cluster.Client, *Jobs) error) error {
	c := a.Config
	client, err := cluster.New(c.Kubernetes.Kubeconfig, c.Kubernetes.Namespace)
	if err != nil {
		return err
	}
	defer client.Close()
	dir := statedir.Dir(c.StateDir)
	backend := &kubernetes.Backend{
		API: client, Dir: dir, Config: c.Kubernetes, Class: c.Storage.Class, Log: a.Log,
		Exec: func(ctx context.Context, pod, container string, command []string) (agentclient.Stream, error) {
			x, err := client.Exec(ctx, pod, container, command)
			if err != nil {
				return nil, err // not a nil *cluster.Exec in an interface
			}
			return x, nil
		},
	}
	x := a.executor(dir, backend)
	x.Kept, x.Room = kubernetes.Nothing{}, kubernetes.Nothing{}
	x.Alive = backend.Alive
	x.DropImages = func(context.Context) ([]string, error) { return nil, nil }
	j := a.jobs(x, nil)
	return do(client, &j)
}
