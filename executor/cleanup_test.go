package executor

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
)

// However the engine hangs, cleanup ends with its time.
func TestCleanupEndsInTime(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	x := standIn(t, nil, func(r *http.Request) {
		if f := r.URL.Query().Get("filters"); strings.Contains(f, job.LabelKept) || strings.Contains(f, job.LabelImages) || strings.Contains(f, `"volume"`) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
	})
	x.CleanupTimeout, x.CacheMounts = 5*time.Second, 1
	if err := os.MkdirAll(x.state().Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := x.Cleanup(t.Context(), Identity{}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}

}
