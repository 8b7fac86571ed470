package kubernetes

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/cluster"
	"gitlab-sysbox-executor/executor/fault"
)

// explain says what to do about a refusal of the API server, whose class the error keeps.
func (b *Backend) explain(err error) error {
	text := fault.Brief(cluster.Message(err))
	switch {
	case errdefs.IsPermissionDenied(err) && strings.Contains(text, "exceeded quota"):
		text = fmt.Sprintf("the quota of namespace %s has no room for the job: %s: wait for other jobs, or raise the quota", b.API.Namespace(), text)
	case errdefs.IsPermissionDenied(err) && strings.Contains(text, " cannot "):
		text = fmt.Sprintf("the executor's account lacks a right in the cluster: %s: give it the role of docs/kubernetes.md, in the namespace of kubernetes.namespace", text)
	case errdefs.IsPermissionDenied(err):
		text = fmt.Sprintf("the cluster's admission control refuses the job's pod: %s: allow it in namespace %s (docs/kubernetes.md)", text, b.API.Namespace())
	case errdefs.IsUnauthorized(err):
		text = fmt.Sprintf("the API server does not know the executor's account: %s: renew the credentials in kubernetes.kubeconfig", text)
	case errdefs.IsNotFound(err) && strings.HasPrefix(text, "namespaces "):
		text = fmt.Sprintf("the cluster has no namespace %s: make it, or correct kubernetes.namespace", b.API.Namespace())
	default:
		return err
	}
	return fault.Systemf("%w", &explained{text, err})
}

// explained is an error with a text of its own.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }
