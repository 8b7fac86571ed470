package cluster

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// This file reads the parts of a cluster that doctor checks. Nodes and classes are not in the namespace: the executor's own
// account may not read them.

// Node is a node of the cluster.
type Node struct {
	Name string
	// Ready and Schedulable are false for a node that takes no pods.
	Ready, Schedulable bool
	// Runtime is for example "containerd://2.1.9", and Kernel "6.12.43".
	Runtime, Kernel string
	// UserNamespaces has, for each handler of the container runtime, whether its pods can have one.
	UserNamespaces map[string]bool
}

// RuntimeClass is a class of container runtimes.
type RuntimeClass struct {
	Handler      string
	NodeSelector map[string]string // labels of the nodes that have it
}

// StorageClass is a class of volumes.
type StorageClass struct {
	Provisioner string
	// Immediate means that a volume is made before a node is chosen.
	Immediate bool
}

// Right is a right of an account in the namespace. The group of the core API is empty.
type Right struct{ Verb, Group, Resource, Subresource string }

// Version is the API server's, such as "v1.36.3".
func (c *Client) Version(ctx context.Context) (string, error) {
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	return v.GitVersion, c.read(ctx, "reading the version", "/version", &v)
}

// May reports whether the account has a right in the namespace.
func (c *Client) May(ctx context.Context, r Right) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := json.Marshal(map[string]any{
		"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
		"spec": map[string]any{"resourceAttributes": map[string]string{"namespace": c.namespace, "verb": r.Verb, "group": r.Group, "resource": r.Resource, "subresource": r.Subresource}},
	})
	if err != nil {
		return false, err
	}
	var review struct{ Status struct{ Allowed bool } }
	text, err := c.rest.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(text, &review)
	}
	return review.Status.Allowed, c.wrap("asking for the account's rights", err)
}

// RuntimeClass reads a runtime class.
func (c *Client) RuntimeClass(ctx context.Context, name string) (r RuntimeClass, err error) {
	var v struct {
		Handler    string
		Scheduling struct{ NodeSelector map[string]string }
	}
	err = c.read(ctx, "reading runtime class "+name, "/apis/node.k8s.io/v1/runtimeclasses/"+name, &v)
	return RuntimeClass{v.Handler, v.Scheduling.NodeSelector}, err
}

// StorageClass reads a storage class.
func (c *Client) StorageClass(ctx context.Context, name string) (StorageClass, error) {
	var v struct{ Provisioner, VolumeBindingMode string }
	err := c.read(ctx, "reading storage class "+name, "/apis/storage.k8s.io/v1/storageclasses/"+name, &v)
	return StorageClass{v.Provisioner, v.VolumeBindingMode != "WaitForFirstConsumer"}, err
}

// Nodes lists the nodes that a label selector matches.
func (c *Client) Nodes(ctx context.Context, selector string) (all []Node, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list := new(corev1.NodeList)
	err = c.rest.Get().Resource("nodes").VersionedParams(&metav1.ListOptions{LabelSelector: selector}, c.parameters).Do(ctx).Into(list)
	for _, n := range list.Items {
		node := Node{
			Name: n.Name, Schedulable: !n.Spec.Unschedulable, UserNamespaces: map[string]bool{},
			Runtime: n.Status.NodeInfo.ContainerRuntimeVersion, Kernel: n.Status.NodeInfo.KernelVersion,
		}
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				node.Ready = condition.Status == corev1.ConditionTrue
			}
		}
		for _, h := range n.Status.RuntimeHandlers {
			node.UserNamespaces[h.Name] = h.Features != nil && h.Features.UserNamespaces != nil && *h.Features.UserNamespaces
		}
		all = append(all, node)
	}
	return all, c.wrap("listing nodes", err)
}

// read reads an object that is not of core/v1.
func (c *Client) read(ctx context.Context, doing, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	text, err := c.rest.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return c.wrap(doing, err)
}
