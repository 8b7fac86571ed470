// Package cluster is the client of a Kubernetes API server. It knows only pods, their secrets, leases, logs and events, in one
// namespace.
//
// It uses the REST client of client-go with the types of core/v1 alone: the complete typed client registers the types of
// every API group when the program starts, also for jobs of a Docker Engine.
package cluster

import (
	"context"
	"fmt"
	"gitlab-sysbox-executor/executor/logline"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Client is the client of one namespace. It is safe for concurrent use.
type Client struct {
	rest       rest.Interface
	config     *rest.Config
	parameters runtime.ParameterCodec
	namespace  string
}

// callTime bounds the wait for one answer, except for watches and streams.
const callTime = 30 * time.Second

// New returns the client for a kubeconfig file, or for the service account of this process's pod if kubeconfig is empty.
// It does not connect.
func New(kubeconfig, namespace string) (*Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubernetes.kubeconfig: %w", err)
	}
	quiet()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.UserAgent = "gitlab-sysbox-executor"
	config.QPS = -1 // a job makes few requests; the API server has limits of its own
	config.WarningHandler = rest.NoWarnings{}
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes.kubeconfig: %w", err)
	}
	return &Client{client, config, runtime.NewParameterCodec(scheme), namespace}, nil
}

// quiet keeps the library's own messages out of the job log: its errors are returned, too.
func quiet() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	utilruntime.ErrorHandlers = nil
}

// Close closes idle connections.
func (c *Client) Close() {
	if h, ok := c.rest.(*rest.RESTClient); ok && h.Client != nil {
		h.Client.CloseIdleConnections()
	}
}

// Host is the address of the API server with the namespace.
func (c *Client) Host() string { return c.config.Host + "/namespaces/" + c.namespace }

// Namespace is the client's.
func (c *Client) Namespace() string { return c.namespace }

// CreatePod returns the pod as the API server has stored it.
func (c *Client) CreatePod(ctx context.Context, p *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	made := new(corev1.Pod)
	err := c.rest.Post().Namespace(c.namespace).Resource("pods").Body(p).Do(ctx).Into(made)
	return made, c.wrap("creating pod "+p.Name, err)
}

// CreateSecret creates a secret.
func (c *Client) CreateSecret(ctx context.Context, s *corev1.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := c.rest.Post().Namespace(c.namespace).Resource("secrets").Body(s).Do(ctx).Error()
	return c.wrap("creating secret "+s.Name, err)
}

// OpenGates lets the scheduler place a pod that was created with scheduling gates.
func (c *Client) OpenGates(ctx context.Context, pod string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	patch := []byte(`[{"op": "remove", "path": "/spec/schedulingGates"}]`)
	err := c.rest.Patch(types.JSONPatchType).Namespace(c.namespace).Resource("pods").Name(pod).Body(patch).Do(ctx).Error()
	return c.wrap("releasing pod "+pod+" to the scheduler", err)
}

// Pod returns a pod. The error is a not-found error of containerd/errdefs if there is none.
func (c *Client) Pod(ctx context.Context, name string) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	p := new(corev1.Pod)
	err := c.rest.Get().Namespace(c.namespace).Resource("pods").Name(name).Do(ctx).Into(p)
	return p, c.wrap("reading pod "+name, err)
}

// Pods lists the pods that a label selector matches.
func (c *Client) Pods(ctx context.Context, selector string) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list := new(corev1.PodList)
	err := c.rest.Get().Namespace(c.namespace).Resource("pods").VersionedParams(&metav1.ListOptions{LabelSelector: selector}, c.parameters).Do(ctx).Into(list)
	return list.Items, c.wrap("listing pods", err)
}

// WatchPod calls each for the pod as it is and for every change of it, until each returns true or an error, or ctx ends.
// Each gets nil when the pod is gone. If the API server ends the watch, a new one begins.
func (c *Client) WatchPod(ctx context.Context, name string, each func(*corev1.Pod) (done bool, err error)) error {
	for {
		p, err := c.Pod(ctx, name)
		if isGone(err) {
			_, err = each(nil)
			return err
		} else if err != nil {
			return err
		}
		if done, err := each(p); done || err != nil {
			return err
		}
		if done, err := c.follow(ctx, p, each); done || err != nil {
			return err
		}
	}
}

// follow is one watch; false if the API server has ended it.
func (c *Client) follow(ctx context.Context, p *corev1.Pod, each func(*corev1.Pod) (bool, error)) (done bool, err error) {
	w, err := c.rest.Get().Namespace(c.namespace).Resource("pods").VersionedParams(&metav1.ListOptions{
		Watch: true, FieldSelector: "metadata.name=" + p.Name, ResourceVersion: p.ResourceVersion,
	}, c.parameters).Watch(ctx)
	if err != nil {
		return false, c.wrap("watching pod "+p.Name, err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case e, ok := <-w.ResultChan():
			if !ok || e.Type == watch.Error {
				return false, nil
			}
			now, isPod := e.Object.(*corev1.Pod)
			switch {
			case !isPod:
				continue
			case e.Type == watch.Deleted:
				now = nil
			}
			if done, err := each(now); done || err != nil {
				return true, err
			}
			if now == nil {
				return true, nil
			}
		}
	}
}

// DeletePod asks for the end of the pod with this UID. Grace is the time between TERM and KILL. It returns before the pod
// is gone.
func (c *Client) DeletePod(ctx context.Context, name string, uid types.UID, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	seconds, background := int64(grace/time.Second), metav1.DeletePropagationBackground
	err := c.rest.Delete().Namespace(c.namespace).Resource("pods").Name(name).Body(&metav1.DeleteOptions{
		GracePeriodSeconds: &seconds, Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	}).Do(ctx).Error()
	return c.wrap("deleting pod "+name, err)
}

// Warnings returns the messages of the events of type Warning about an object, oldest first.
func (c *Client) Warnings(ctx context.Context, uid types.UID) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list := new(corev1.EventList)
	err := c.rest.Get().Namespace(c.namespace).Resource("events").VersionedParams(&metav1.ListOptions{
		FieldSelector: "type=Warning,involvedObject.uid=" + string(uid),
	}, c.parameters).Do(ctx).Into(list)
	var all []string
	for _, e := range list.Items {
		all = append(all, e.Reason+": "+e.Message)
	}
	return all, c.wrap("listing events", err)
}

// mostLog bounds the log that Logs reads, in bytes.
const mostLog = 1 << 20

// Logs returns the end of a container's log, at most this many lines.
func (c *Client) Logs(ctx context.Context, pod, container string, lines int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	limit := int64(mostLog)
	text, err := c.rest.Get().Namespace(c.namespace).Resource("pods").Name(pod).SubResource("log").
		VersionedParams(&corev1.PodLogOptions{Container: container, TailLines: &lines, LimitBytes: &limit}, c.parameters).Do(ctx).Raw()
	return string(text), c.wrap("reading the log of container "+container, err)
}

// EachLog calls each for every line of a container's log that is newer than since. It follows the log until ctx or the
// container ends.
func (c *Client) EachLog(ctx context.Context, pod, container string, since time.Time, follow bool, each func(at time.Time, line string)) error {
	options := &corev1.PodLogOptions{Container: container, Follow: follow, Timestamps: true}
	if !since.IsZero() {
		options.SinceTime = &metav1.Time{Time: since} // of whole seconds
	}
	log, err := c.rest.Get().Namespace(c.namespace).Resource("pods").Name(pod).SubResource("log").VersionedParams(options, c.parameters).Stream(ctx)
	if err != nil {
		return c.wrap("reading the log of container "+container, err)
	}
	defer log.Close()
	err = logline.Each(log, func(at time.Time, line string) {
		if at.After(since) {
			each(at, line)
		}
	})
	if ctx.Err() != nil {
		return nil
	}
	return c.wrap("reading the log of container "+container, err)
}

// execRequest is the request that starts a command in a container.
func (c *Client) execRequest(pod, container string, command []string) *rest.Request {
	return c.rest.Verb(http.MethodPost).Namespace(c.namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdin: true, Stdout: true, Stderr: true}, c.parameters)
}
