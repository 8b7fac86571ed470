package doctor

import (
	"context"

	"gitlab-sysbox-executor/executor/cluster"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/stages/app"
)

// examineCluster runs the checks for the backend kubernetes. Kubeconfig is an administrator's; it may be empty.
func examineCluster(ctx context.Context, a *app.App, m *doctor.Machine, kubeconfig string) (all []doctor.Finding) {
	err := a.WithCluster(func(client *cluster.Client, j *app.Jobs) error {
		m.Cluster, m.Reader, m.Jobs, m.Collect = client, client, j.Overview, j.Executor.GC
		if kubeconfig != "" {
			reader, err := cluster.New(kubeconfig, a.Config.Kubernetes.Namespace)
			if err != nil {
				return err
			}
			defer reader.Close()
			m.Reader = reader
		}
		all = doctor.Examine(ctx, m)
		return nil
	})
	if err != nil { // there is no client, for example without the file
		m.Cluster, m.Jobs = noCluster{err: err}, noCluster{err: err}
		m.Reader = m.Cluster
		all = doctor.Examine(ctx, m)
	}
	return all
}

// noCluster is a cluster without a client. Nothing but its version is asked for.
type noCluster struct {
	doctor.Cluster
	err error
}

func (n noCluster) Version(context.Context) (string, error) { return "", n.err }

func (n noCluster) Jobs(context.Context) ([]overview.JobState, error) { return nil, n.err }
