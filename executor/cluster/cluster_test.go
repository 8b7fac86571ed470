package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"gitlab-sysbox-executor/executor/logline"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serve returns a client of an API server that answers as handle does, and the requests that it got.
func serve(t *testing.T, handle func(w http.ResponseWriter, r *http.Request)) (*Client, *[]string) {
	t.Helper()
	requests := new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*requests = append(*requests, r.Method+" "+r.URL.String()+" "+string(body))
		w.Header().Set("Content-Type", "application/json")
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "x", "clusters": [{"name": "x", "cluster": {"server": %q}}], "contexts": [{"name": "x", "context": {"cluster": "x", "user": ""}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := New(file, "jobs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, requests
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: message,
	})
}

// An error has the class that a removal and the messages need, and the API server's own message.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		code   int
		reason metav1.StatusReason
		class  error
	}{
		"not found":   {404, metav1.StatusReasonNotFound, errdefs.ErrNotFound},
		"there":       {409, metav1.StatusReasonAlreadyExists, errdefs.ErrConflict},
		"another UID": {409, metav1.StatusReasonConflict, errdefs.ErrConflict},
		"forbidden":   {403, metav1.StatusReasonForbidden, errdefs.ErrPermissionDenied},
		"unknown":     {401, metav1.StatusReasonUnauthorized, errdefs.ErrUnauthenticated},
		"invalid":     {422, metav1.StatusReasonInvalid, errdefs.ErrInvalidArgument},
		"restarting":  {503, metav1.StatusReasonServiceUnavailable, errdefs.ErrUnavailable},
		"broken":      {500, metav1.StatusReasonInternalError, errdefs.ErrUnavailable},
	} {
		client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { status(w, c.code, c.reason, "the message") })
		_, err := client.Pod(t.Context(), "x")
		if !errors.Is(err, c.class) || Message(err) != "the message" || !strings.HasPrefix(err.Error(), "reading pod x: ") {
			t.Errorf("%s: %v, %q", name, err, Message(err))
		}
	}
	client, _ := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err := client.CreateSecret(t.Context(), new(corev1.Secret)); !errdefs.IsUnavailable(err) { // a GET is repeated
		t.Errorf("without an answer: %v", err)
	}
	if _, err := New("/nonexistent", "jobs"); err == nil || !strings.Contains(err.Error(), "kubernetes.kubeconfig") {
		t.Error(err)
	}
}

func TestRequests(t *testing.T) {
	client, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/events"):
			fmt.Fprint(w, `{"kind": "EventList", "apiVersion": "v1", "items": [{"reason": "Failed", "message": "why"}]}`)
		default:
			fmt.Fprint(w, `{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "uid": "1"}}`)
		}
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	made, err := client.CreatePod(t.Context(), pod)
	warnings, warningsErr := client.Warnings(t.Context(), "1")
	err = errors.Join(err, warningsErr, client.OpenGates(t.Context(), "x"), client.DeletePod(t.Context(), "x", "1", 10*time.Second))
	if err != nil || made.UID != "1" || !slices.Equal(warnings, []string{"Failed: why"}) {
		t.Fatalf("%v, %+v, %q", err, made, warnings)
	}
	for n, want := range []string{
		`POST /api/v1/namespaces/jobs/pods {"kind":"Pod","apiVersion":"v1",`,
		"GET /api/v1/namespaces/jobs/events?fieldSelector=type%3DWarning%2CinvolvedObject.uid%3D1 ",
		`PATCH /api/v1/namespaces/jobs/pods/x [{"op": "remove", "path": "/spec/schedulingGates"}]`,
		`DELETE /api/v1/namespaces/jobs/pods/x {"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":10,"preconditions":{"uid":"1"},"propagationPolicy":"Background"}`,
	} {
		if !strings.HasPrefix((*requests)[n], want) {
			t.Errorf("%s\nwant %s", (*requests)[n], want)
		}
	}
}

// If the API server ends a watch, the client begins a new one. It does not take the end of the watch for the end of the
// pod.
func TestWatchPod(t *testing.T) {
	watches := 0
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		pod := func(phase string) string {
			return fmt.Sprintf(`{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "uid": "1", "resourceVersion": "7"}, "status": {"phase": %q}}`, phase)
		}
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprint(w, pod("Pending"))
			return
		}
		if watches++; watches == 1 {
			return // ended at once
		}
		fmt.Fprintf(w, `{"type": "MODIFIED", "object": %s}`+"\n", pod("Running"))
		fmt.Fprintf(w, `{"type": "DELETED", "object": %s}`+"\n", pod("Running"))
	})
	var seen []string
	err := client.WatchPod(t.Context(), "x", func(p *corev1.Pod) (bool, error) {
		if p == nil {
			seen = append(seen, "gone")
			return false, nil
		}
		seen = append(seen, string(p.Status.Phase))
		return false, nil
	})
	if want := []string{"Pending", "Pending", "Running", "gone"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%q, %v", seen, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := client.WatchPod(ctx, "x", func(*corev1.Pod) (bool, error) { return false, nil }); err == nil {
		t.Error("it goes on after its context")
	}
}

// Lines are those after a time, without what is too long.
func TestEachLog(t *testing.T) {
	base := time.Date(2026, 1, 2, 3, 4, 5, 500, time.UTC)
	client, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for n, text := range []string{"old", "new", strings.Repeat("x", 3*logline.Longest), "last"} {
			fmt.Fprintf(w, "%s %s\n", base.Add(time.Duration(n)*time.Millisecond).Format(time.RFC3339Nano), text)
		}
		fmt.Fprint(w, "no time\n")
	})
	var lines []string
	err := client.EachLog(t.Context(), "x", "c", base, true, func(_ time.Time, line string) { lines = append(lines, line) })
	if err != nil || len(lines) != 3 || lines[0] != "new" || len(lines[1]) > logline.Longest || lines[2] != "last" {
		t.Errorf("%.100q, %v", lines, err)
	}
	if want := "GET /api/v1/namespaces/jobs/pods/x/log?container=c&follow=true&sinceTime=2026-01-02T03%3A04%3A05Z&timestamps=true "; (*requests)[0] != want {
		t.Error((*requests)[0])
	}
}

// A process that cannot be started is an error of the start, not of the stream.
func TestExecIsRefused(t *testing.T) {
	client, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		status(w, 403, metav1.StatusReasonForbidden, "no exec")
	})
	if _, err := client.Exec(t.Context(), "x", "c", []string{"a", "b c"}); err == nil || !strings.Contains(err.Error(), "starting a process in container c of pod x") {
		t.Error(err)
	}
	if want := "/api/v1/namespaces/jobs/pods/x/exec?command=a&command=b+c&container=c&stderr=true&stdin=true&stdout=true "; !strings.HasSuffix((*requests)[0], want) {
		t.Error((*requests)[0])
	}
}
