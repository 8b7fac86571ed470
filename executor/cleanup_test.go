package executor

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

func TestLostLabels(t *testing.T) {
	asked := journal.Resource{Kind: journal.Volume, Name: "ours", At: time.Date(2026, 1, 1, 12, 0, 0, 500_000_000, time.UTC)}
	for name, c := range map[string]struct {
		found engine.Found
		want  bool
	}{
		"made for us":            {engine.Found{Name: "ours", Made: asked.At.Truncate(time.Second)}, true}, // all that the engine tells
		"older":                  {engine.Found{Name: "ours", Made: asked.At.Add(-time.Hour)}, false},
		"of an unknown age":      {engine.Found{Name: "ours"}, false},
		"with labels of another": {engine.Found{Name: "ours", Made: asked.At, Labels: map[string]string{"a": "b"}}, false},
		"another":                {engine.Found{Name: "theirs", Made: asked.At}, false},
	} {
		if got := lostLabels(c.found, asked); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

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

	// What is left has holders, which the engine does not tell.
	r := &removal{Executor: x, name: "gsx-0123abcd-p1-j1"}
	if r.journal, _, _ = journal.Open(x.state().Journals(), r.name); r.journal == nil {
		t.Fatal("no journal")
	}
	for n := range 15 {
		r.fail(holding{Resource: journal.Resource{Kind: journal.Volume, Name: fmt.Sprint(n)}, target: fmt.Sprint(n)}, errors.New("busy"))
	}
	began = time.Now()
	if left := r.leave(); len(left) != 15 {
		t.Errorf("left: %v", left)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("to tell what is left took %s", took)
	}
}
