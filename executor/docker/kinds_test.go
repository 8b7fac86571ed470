package docker

import (
	"context"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

// A container of somebody else whose image has our labels is not ours to remove.
func TestHostileForeignContainerIsNotListed(t *testing.T) {
	const name = "gsx-0123abcd-p1-j2"
	foreign := map[string]string{job.LabelName: name}
	found := func(context.Context, string, string) ([]engine.Found, error) {
		return []engine.Found{{ID: "a1", Name: "web", Labels: foreign}, {ID: "a2", Name: name + "9", Labels: foreign}, {ID: "a3", Name: name, Labels: foreign}}, nil
	}
	for _, only := range []string{"", name} {
		if all, err := list(t.Context(), journal.Container, only, found); err != nil || len(all) != 1 || all[0].ID != "a3" || all[0].Job != name {
			t.Errorf("%+v %v", all, err)
		}
	}
	if all, err := list(t.Context(), journal.Container, "gsx-0123abcd-p1-j3", found); err != nil || len(all) > 0 {
		t.Errorf("%+v %v", all, err)
	}
}

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
