package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/hashicorp/go-version"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/cluster"
)

// Cluster is what the checks need of a cluster; *cluster.Client implements it.
type Cluster interface {
	Host() string
	Namespace() string
	Version(ctx context.Context) (string, error)
	May(ctx context.Context, r cluster.Right) (bool, error)
	RuntimeClass(ctx context.Context, name string) (cluster.RuntimeClass, error)
	StorageClass(ctx context.Context, name string) (cluster.StorageClass, error)
	Nodes(ctx context.Context, selector string) ([]cluster.Node, error)
}

// clusterChecks is the table of the checks for the backend kubernetes, in the order of their output. Those of this machine
// are about the Runner, which may be in the cluster or not.
var clusterChecks = []check{
	{"user", checkUser},
	{"configuration", checkConfiguration},
	{"api server", checkAPIServer},
	{"rights", checkRights},
	{"runtime class", checkRuntimeClass},
	{"nodes", checkNodes},
	{"storage class", checkStorageClass},
	{"clock", checkClock},
	{"runner", checkRunner},
	{"files", checkFiles},
	{"jobs", checkJobs},
	{"quarantine", checkQuarantine},
}

// The oldest versions that the executor supports, and the newest Kubernetes that its tests run with.
const (
	oldestKubernetes = "1.33.0"
	newestKubernetes = "1.36"
	oldestContainerd = "2.0.5" // earlier ones have a bug with user namespaces and other runtimes than runc
	oldestKernel     = "6.3"   // ID-mapped mounts of tmpfs, with which kubelets mount secrets
)

// asAdministrator is the advice if the account may not read what is not in its namespace.
const asAdministrator = "for this check, run doctor with --kubeconfig FILE, an administrator's"

func checkAPIServer(ctx context.Context, m *Machine) []Finding {
	v, err := m.apiVersion(ctx)
	if err != nil {
		return found(Error, err.Error(), "check kubernetes.kubeconfig in "+m.ConfigPath+", and that the API server is reachable from here")
	}
	what := fmt.Sprintf("Kubernetes %s at %s, namespace %s", strings.TrimPrefix(v, "v"), strings.TrimSuffix(m.Cluster.Host(), "/namespaces/"+m.Cluster.Namespace()), m.Cluster.Namespace())
	switch number, err := version.NewVersion(v); {
	case err != nil:
		return found(Note, what+": the version is not known to this program", "the executor is tested with Kubernetes "+newestKubernetes)
	case !atLeast(v, oldestKubernetes):
		return found(Error, what+": it is too old: user namespaces of pods are off by default", "update the cluster to Kubernetes 1.33 or newer")
	case number.Core().Segments()[0] > 1 || number.Core().Segments()[1] > version.Must(version.NewVersion(newestKubernetes)).Segments()[1]:
		return found(Note, what+": it is newer than those that the executor is tested with", "report what does not work; the executor is tested with Kubernetes "+newestKubernetes)
	}
	return ok("%s", what)
}

// apiVersion asks the API server once.
func (m *Machine) apiVersion(ctx context.Context) (string, error) {
	m.asked.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		m.api, m.err = m.Cluster.Version(ctx)
	})
	return m.api, m.err
}

// Rights are those that the executor's account needs in the namespace of the jobs: the role of deploy/kubernetes.yaml.
var Rights = []cluster.Right{
	{Verb: "create", Resource: "pods"}, {Verb: "delete", Resource: "pods"}, {Verb: "get", Resource: "pods"}, {Verb: "list", Resource: "pods"},
	{Verb: "patch", Resource: "pods"}, {Verb: "watch", Resource: "pods"},
	{Verb: "create", Resource: "pods", Subresource: "exec"}, {Verb: "get", Resource: "pods", Subresource: "exec"},
	{Verb: "get", Resource: "pods", Subresource: "log"},
	{Verb: "create", Resource: "secrets"},
	{Verb: "list", Resource: "events"},
	{Verb: "create", Group: leases, Resource: "leases"}, {Verb: "list", Group: leases, Resource: "leases"}, {Verb: "patch", Group: leases, Resource: "leases"},
}

// leases is the API group of Leases.
const leases = "coordination.k8s.io"

func nameOf(r cluster.Right) string {
	if r.Subresource != "" {
		return r.Verb + " " + r.Resource + "/" + r.Subresource
	}
	return r.Verb + " " + r.Resource
}

// checkRights compares the account with the role that it should have.
func checkRights(ctx context.Context, m *Machine) []Finding {
	if _, err := m.apiVersion(ctx); err != nil {
		return nil // reported by the check of the API server
	}
	var missing []string
	for _, r := range Rights {
		may, err := m.Cluster.May(ctx, r)
		if err != nil {
			return found(Warning, "the rights of the executor's account are not known: "+err.Error(), "kubectl auth can-i --list --namespace "+m.Cluster.Namespace())
		}
		if !may {
			missing = append(missing, nameOf(r))
		}
	}
	if len(missing) > 0 {
		return found(Error, fmt.Sprintf("the executor's account may not %s in namespace %s", strings.Join(missing, ", "), m.Cluster.Namespace()),
			"give it the role of deploy/kubernetes.yaml (docs/kubernetes.md)")
	}
	// Whoever may read secrets reads the variables of all running jobs.
	if more, err := m.Cluster.May(ctx, cluster.Right{Verb: "get", Resource: "secrets"}); err == nil && more {
		return found(Warning, "the executor's account may read secrets, which it does not need: with it one reads the variables of all jobs",
			"give it the role of deploy/kubernetes.yaml and no other (docs/kubernetes.md)")
	}
	return ok("the executor's account has the %d rights that it needs in namespace %s", len(Rights), m.Cluster.Namespace())
}

// checkRuntimeClass looks for the class that pods name.
func checkRuntimeClass(ctx context.Context, m *Machine) []Finding {
	name := m.Config.Kubernetes.RuntimeClass
	if _, err := m.apiVersion(ctx); err != nil {
		return nil
	}
	if name == "" {
		return found(Warning, "kubernetes.runtime_class is empty: jobs run with the nodes' default runtime, and have only the isolation that it gives",
			`install Sysbox on the nodes, and set kubernetes.runtime_class = "sysbox-runc" in `+m.ConfigPath)
	}
	class, err := m.Reader.RuntimeClass(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		return found(Error, "the cluster has no runtime class "+name, "install Sysbox on the nodes (its installer makes the class), or correct kubernetes.runtime_class in "+m.ConfigPath)
	case errdefs.IsPermissionDenied(err):
		return found(Note, "whether the cluster has the runtime class "+name+" is not known: the executor's account may not read it", asAdministrator)
	case err != nil:
		return found(Warning, err.Error(), "kubectl get runtimeclass "+name)
	case class.Handler != "sysbox-runc":
		return found(Warning, fmt.Sprintf("the handler of runtime class %s is %s, not sysbox-runc: jobs have only the isolation that it gives", name, class.Handler),
			"for real jobs install Sysbox, and set kubernetes.runtime_class in "+m.ConfigPath+" to its class")
	}
	return ok("%s, with the handler %s", name, class.Handler)
}

// checkNodes looks at the nodes that take pods of jobs.
func checkNodes(ctx context.Context, m *Machine) []Finding {
	if _, err := m.apiVersion(ctx); err != nil {
		return nil
	}
	labels, handler := config.Pairs(m.Config.Kubernetes.NodeSelector), ""
	if name := m.Config.Kubernetes.RuntimeClass; name != "" {
		class, err := m.Reader.RuntimeClass(ctx, name)
		if err != nil {
			return nil // reported by the check of the runtime class
		}
		handler = class.Handler
		maps.Copy(labels, class.NodeSelector)
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	selector := strings.Join(parts, ",")
	nodes, err := m.Reader.Nodes(ctx, selector)
	switch {
	case errdefs.IsPermissionDenied(err):
		return found(Note, "the nodes are not known: the executor's account may not read them", asAdministrator)
	case err != nil:
		return found(Warning, err.Error(), "kubectl get nodes")
	case len(nodes) == 0:
		return found(Error, "no node has the labels "+selector, "kubectl get nodes --show-labels; correct kubernetes.node_selector in "+m.ConfigPath+", or install Sysbox on nodes")
	}
	var all []Finding
	usable := 0
	for _, n := range nodes {
		fault := faultOf(n, handler)
		if fault.Text == "" {
			usable++
			continue
		}
		all = append(all, fault)
	}
	if usable == 0 {
		for n := range all {
			all[n].Severity = Error
		}
		return all
	}
	return append(ok("%d of %d take jobs", usable, len(nodes)), all...)
}

// faultOf is why a node runs no jobs; without a text if it does.
func faultOf(n cluster.Node, handler string) Finding {
	bad := func(text, next string) Finding {
		return Finding{Severity: Warning, Text: "node " + n.Name + ": " + text, Next: next}
	}
	kind, number, _ := strings.Cut(n.Runtime, "://")
	namespaces, known := n.UserNamespaces[handler]
	switch {
	case !n.Ready:
		return bad("it is not ready", "kubectl describe node "+n.Name)
	case !n.Schedulable:
		return bad("it takes no new pods", "kubectl uncordon "+n.Name)
	case kind == "containerd" && !atLeast(number, oldestContainerd):
		return bad("containerd "+number+" is too old for user namespaces of pods", "update containerd to "+oldestContainerd+" or newer")
	case !atLeast(leadingNumber(n.Kernel), oldestKernel):
		return bad("kernel "+n.Kernel+" is too old for user namespaces of pods", "update the kernel to "+oldestKernel+" or newer")
	case !known && handler != "":
		return bad("its container runtime has no handler "+handler, "install Sysbox on it, or label the nodes that have it and set kubernetes.node_selector")
	case !namespaces:
		return bad("pods of handler "+handler+" have no user namespace there", "Sysbox 0.7.0 or newer with "+kind+" "+oldestContainerd+" or newer has them; kubectl get node "+n.Name+" -o yaml shows status.runtimeHandlers")
	}
	return Finding{}
}

// leadingNumber is the number in front of a kernel's version, such as 6.12.43 of "6.12.43+deb13-amd64".
func leadingNumber(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return text
	}
	return strings.TrimRight(text[:end], ".")
}

// checkStorageClass looks for the class of the storage volumes.
func checkStorageClass(ctx context.Context, m *Machine) []Finding {
	s := m.Config.Storage
	if _, err := m.apiVersion(ctx); err != nil {
		return nil
	}
	switch {
	case s.Backend == "tmpfs":
		return ok("none is needed: storage volumes are in memory")
	case s.Class == "":
		return found(Note, "storage volumes are folders on the nodes: nothing limits them but an eviction of the pod some time after they have exceeded storage.size",
			"for a hard limit set storage.class in "+m.ConfigPath+" (docs/kubernetes.md)")
	}
	class, err := m.Reader.StorageClass(ctx, s.Class)
	switch {
	case errdefs.IsNotFound(err):
		return found(Error, "the cluster has no storage class "+s.Class, "kubectl get storageclass; correct storage.class in "+m.ConfigPath)
	case errdefs.IsPermissionDenied(err):
		return found(Note, "whether the cluster has the storage class "+s.Class+" is not known: the executor's account may not read it", asAdministrator)
	case err != nil:
		return found(Warning, err.Error(), "kubectl get storageclass "+s.Class)
	case class.Immediate:
		return found(Warning, fmt.Sprintf("storage class %s makes a volume before a node is chosen: the volume of a job may be where no node for it is", s.Class),
			"use a class with volumeBindingMode: WaitForFirstConsumer")
	}
	return ok("%s, made by %s", s.Class, class.Provisioner)
}
