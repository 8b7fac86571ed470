package executor

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
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
