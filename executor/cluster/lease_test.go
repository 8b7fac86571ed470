package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLeases(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	client, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "items": [{"metadata": {"name": "x"}, "spec": {"leaseDurationSeconds": 600, "renewTime": "2026-01-02T03:04:05.000006Z"}}]}`)
			return
		}
		fmt.Fprint(w, `{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "x"}}`)
	})
	err := client.CreateLease(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "x"}})
	err = errors.Join(err, client.RenewLease(t.Context(), "x", at))
	list, listErr := client.Leases(t.Context(), "a=b")
	if err = errors.Join(err, listErr); err != nil || len(list) != 1 || !list[0].Spec.RenewTime.Time.Equal(at) {
		t.Fatalf("%v, %+v", err, list)
	}
	const base = " /apis/coordination.k8s.io/v1/namespaces/jobs/leases"
	for n, want := range []string{
		"POST" + base + ` {"metadata":{"name":"x"},`, "PATCH" + base + `/x {"spec": {"renewTime": "2026-01-02T03:04:05.000006Z"}}`, "GET" + base + "?labelSelector=a%3Db ",
	} {
		if !strings.HasPrefix((*requests)[n], want) {
			t.Errorf("%s\nwant %s", (*requests)[n], want)
		}
	}
	client, _ = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		status(w, 403, metav1.StatusReasonForbidden, `cannot patch resource "leases"`)
	})
	if err := client.RenewLease(t.Context(), "x", at); !errdefs.IsPermissionDenied(err) || !strings.HasPrefix(err.Error(), "renewing lease x: ") {
		t.Error(err)
	}
	if _, err := client.Leases(t.Context(), ""); !errdefs.IsPermissionDenied(err) {
		t.Error(err)
	}
}
