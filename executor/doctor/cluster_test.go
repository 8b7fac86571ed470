package doctor

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.yaml.in/yaml/v4"

	"gitlab-sysbox-executor/executor/cluster"
)

// fakeCluster answers about itself.
type fakeCluster struct {
	version string
	down    error
	denied  map[string]bool // rights that the account has not
	more    bool            // it may read secrets
	classes map[string]cluster.RuntimeClass
	storage map[string]cluster.StorageClass
	nodes   []cluster.Node
	closed  bool // to objects that are not in the namespace
	labels  string
}

func (f *fakeCluster) Host() string                            { return "https://k8s.example.com:6443/namespaces/gitlab-jobs" }
func (f *fakeCluster) Namespace() string                       { return "gitlab-jobs" }
func (f *fakeCluster) Version(context.Context) (string, error) { return f.version, f.down }

func (f *fakeCluster) May(_ context.Context, r cluster.Right) (bool, error) {
	if !slices.Contains(Rights, r) {
		return f.more, nil
	}
	return !f.denied[nameOf(r)], nil
}

func (f *fakeCluster) RuntimeClass(_ context.Context, name string) (cluster.RuntimeClass, error) {
	return pick(f, f.classes, name)
}

func (f *fakeCluster) StorageClass(_ context.Context, name string) (cluster.StorageClass, error) {
	return pick(f, f.storage, name)
}

func pick[T any](f *fakeCluster, all map[string]T, name string) (none T, err error) {
	if f.closed {
		return none, errdefs.ErrPermissionDenied
	}
	if c, ok := all[name]; ok {
		return c, nil
	}
	return none, errdefs.ErrNotFound
}

func (f *fakeCluster) Nodes(_ context.Context, selector string) ([]cluster.Node, error) {
	f.labels = selector
	if f.closed {
		return nil, errdefs.ErrPermissionDenied
	}
	return f.nodes, nil
}

// inCluster is a machine whose cluster is well.
func inCluster(t *testing.T) (*prepared, *fakeCluster) {
	t.Helper()
	p := well(t)
	node := cluster.Node{
		Name: "one", Ready: true, Schedulable: true, Runtime: "containerd://2.1.9", Kernel: "6.12.43+deb13-amd64",
		UserNamespaces: map[string]bool{"": true, "runc": true, "sysbox-runc": true},
	}
	f := &fakeCluster{
		version: "v1.36.3", nodes: []cluster.Node{node},
		classes: map[string]cluster.RuntimeClass{"sysbox-runc": {Handler: "sysbox-runc", NodeSelector: map[string]string{"sysbox-runtime": "running"}}},
		storage: map[string]cluster.StorageClass{"local-xfs": {Provisioner: "local.example.com"}},
	}
	p.Config.Backend, p.Config.Kubernetes.AgentImage = "kubernetes", "agent:1"
	p.Config.Storage.Backend, p.Config.Storage.Class = "auto", "local-xfs"
	p.Engine, p.Cluster, p.Reader = nil, f, f
	return p, f
}

// For a cluster in which all is well, no check finds anything.
func TestClusterIsWell(t *testing.T) {
	p, f := inCluster(t)
	seen := map[string]bool{}
	for _, found := range Examine(t.Context(), p.Machine) {
		seen[found.Check] = true
		if found.Severity != OK && found.Check != "clock" && found.Check != "user" {
			t.Errorf("%+v", found)
		}
	}
	for _, name := range []string{"configuration", "api server", "rights", "runtime class", "nodes", "storage class", "runner", "files", "jobs"} {
		if !seen[name] {
			t.Errorf("the check %s finds nothing at all", name)
		}
	}
	if f.labels != "sysbox-runtime=running" {
		t.Errorf("nodes with %q", f.labels)
	}
}

// Each case changes one thing of a cluster in which all is well.
func TestClusterFindings(t *testing.T) {
	node := func(change func(*cluster.Node)) func(*prepared, *fakeCluster) {
		return func(_ *prepared, f *fakeCluster) {
			other := f.nodes[0]
			other.Name, other.UserNamespaces = "two", maps.Clone(other.UserNamespaces)
			change(&other)
			f.nodes = append(f.nodes, other)
		}
	}
	for name, c := range map[string]struct {
		change     func(*prepared, *fakeCluster)
		check      string
		severity   Severity
		text, next string // parts of them
	}{
		"no API server":      {func(_ *prepared, f *fakeCluster) { f.down = errors.New("connection refused") }, "api server", Error, "connection refused", "kubernetes.kubeconfig"},
		"an old one":         {func(_ *prepared, f *fakeCluster) { f.version = "v1.32.9" }, "api server", Error, "too old", "1.33"},
		"a newer one":        {func(_ *prepared, f *fakeCluster) { f.version = "v1.99.0" }, "api server", Note, "newer", "1.36"},
		"a strange version":  {func(_ *prepared, f *fakeCluster) { f.version = "main" }, "api server", Note, "not known", "1.36"},
		"a missing right":    {func(_ *prepared, f *fakeCluster) { f.denied = map[string]bool{"create pods/exec": true} }, "rights", Error, "may not create pods/exec in namespace gitlab-jobs", "deploy/kubernetes.yaml"},
		"too many rights":    {func(_ *prepared, f *fakeCluster) { f.more = true }, "rights", Warning, "may read secrets", "no other"},
		"no class":           {func(_ *prepared, f *fakeCluster) { f.classes = nil }, "runtime class", Error, "no runtime class sysbox-runc", "install Sysbox"},
		"no class is named":  {func(p *prepared, _ *fakeCluster) { p.Config.Kubernetes.RuntimeClass = "" }, "runtime class", Warning, "is empty", "sysbox-runc"},
		"another handler":    {func(_ *prepared, f *fakeCluster) { f.classes["sysbox-runc"] = cluster.RuntimeClass{Handler: "runc"} }, "runtime class", Warning, "is runc, not sysbox-runc", "install Sysbox"},
		"a class is hidden":  {func(_ *prepared, f *fakeCluster) { f.closed = true }, "runtime class", Note, "not known", "--kubeconfig"},
		"no node":            {func(_ *prepared, f *fakeCluster) { f.nodes = nil }, "nodes", Error, "no node has the labels sysbox-runtime=running", "node_selector"},
		"a node is away":     {node(func(n *cluster.Node) { n.Ready = false }), "nodes", Warning, "node two: it is not ready", "kubectl describe node two"},
		"a node is cordoned": {node(func(n *cluster.Node) { n.Schedulable = false }), "nodes", Warning, "takes no new pods", "uncordon"},
		"an old containerd":  {node(func(n *cluster.Node) { n.Runtime = "containerd://2.0.4" }), "nodes", Warning, "containerd 2.0.4 is too old", "2.0.5"},
		"an old kernel":      {node(func(n *cluster.Node) { n.Kernel = "5.15.0-91-generic" }), "nodes", Warning, "kernel 5.15.0-91-generic is too old", "6.3"},
		"no Sysbox":          {node(func(n *cluster.Node) { delete(n.UserNamespaces, "sysbox-runc") }), "nodes", Warning, "has no handler sysbox-runc", "install Sysbox"},
		"no user namespaces": {node(func(n *cluster.Node) { n.UserNamespaces["sysbox-runc"] = false }), "nodes", Warning, "no user namespace", "0.7.0"},
		"no usable node":     {func(_ *prepared, f *fakeCluster) { f.nodes[0].Ready = false }, "nodes", Error, "node one: it is not ready", "describe"},
		"no storage class":   {func(_ *prepared, f *fakeCluster) { f.storage = nil }, "storage class", Error, "no storage class local-xfs", "storage.class"},
		"none is named":      {func(p *prepared, _ *fakeCluster) { p.Config.Storage.Class = "" }, "storage class", Note, "nothing limits them but an eviction", "storage.class"},
		"in memory":          {func(p *prepared, _ *fakeCluster) { p.Config.Storage.Backend = "tmpfs" }, "storage class", OK, "in memory", ""},
		"an immediate one":   {func(_ *prepared, f *fakeCluster) { f.storage["local-xfs"] = cluster.StorageClass{Immediate: true} }, "storage class", Warning, "before a node is chosen", "WaitForFirstConsumer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, f := inCluster(t)
			c.change(p, f)
			want(t, Examine(t.Context(), p.Machine), c.check, c.severity, c.text, c.next)
		})
	}
}

// The rights are those of the role in deploy/kubernetes.yaml.
func TestRightsAreThoseOfTheRole(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var role struct {
			Kind  string
			Rules []struct{ Resources, Verbs []string }
		}
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				all = append(all, verb+" "+rule.Resources[0])
			}
		}
	}
	var ours []string
	for _, r := range Rights {
		ours = append(ours, nameOf(r))
	}
	slices.Sort(all)
	slices.Sort(ours)
	if !slices.Equal(all, ours) {
		t.Errorf("the role has %q, doctor looks for %q", all, ours)
	}
}
