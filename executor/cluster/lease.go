package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// leases is a request about Leases, which are in an API group of their own.
func (c *Client) leases(verb string, name ...string) *rest.Request {
	path := append([]string{"/apis", coordinationv1.GroupName, "v1", "namespaces", c.namespace, "leases"}, name...)
	return c.rest.Verb(verb).AbsPath(path...).SetHeader("Accept", "application/json")
}

// CreateLease creates a Lease.
func (c *Client) CreateLease(ctx context.Context, l *coordinationv1.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	text, err := json.Marshal(l)
	if err == nil {
		err = c.leases(http.MethodPost).SetHeader("Content-Type", "application/json").Body(text).Do(ctx).Error()
	}
	return c.wrap("creating lease "+l.Name, err)
}

// RenewLease sets the time of a Lease.
func (c *Client) RenewLease(ctx context.Context, name string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	patch := fmt.Sprintf(`{"spec": {"renewTime": %q}}`, at.UTC().Format(metav1.RFC3339Micro))
	err := c.leases(http.MethodPatch, name).SetHeader("Content-Type", string(types.MergePatchType)).Body([]byte(patch)).Do(ctx).Error()
	return c.wrap("renewing lease "+name, err)
}

// Leases lists the Leases that a label selector matches.
func (c *Client) Leases(ctx context.Context, selector string) ([]coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var list coordinationv1.LeaseList
	text, err := c.leases(http.MethodGet).VersionedParams(&metav1.ListOptions{LabelSelector: selector}, c.parameters).DoRaw(ctx)
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	return list.Items, c.wrap("listing leases", err)
}
