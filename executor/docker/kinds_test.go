package docker

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/teardown"
)

// A container of another user whose image has our labels must not be removed.
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
		"made for us":            {engine.Found{Name: "ours", Made: asked.At.Truncate(time.Second)}, true}, // the engine's times have whole seconds
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

// The engine's errors are classified by their class and by their text.
func TestMeaningOfTheEnginesErrors(t *testing.T) {
	for text, c := range map[string]struct {
		class error
		want  teardown.Meaning
	}{
		"No such container: abc":                                                  {cerrdefs.ErrNotFound, teardown.Gone},
		"get gsx: no such volume":                                                 {cerrdefs.ErrNotFound, teardown.Gone},
		"network gsx not found":                                                   {cerrdefs.ErrNotFound, teardown.Gone},
		"removal of container abc is already in progress":                         {cerrdefs.ErrConflict, teardown.Busy},
		"remove gsx: volume is in use - [abc]":                                    {cerrdefs.ErrConflict, teardown.Busy},
		"error while removing network: network gsx id abc has active endpoints":   {cerrdefs.ErrPermissionDenied, teardown.Busy},
		`driver "overlay2" failed to remove: unlinkat: device or resource busy`:   {cerrdefs.ErrInternal, teardown.Busy},
		"unlinkat /var/lib/docker/volumes/gsx/_data: directory not empty":         {cerrdefs.ErrInternal, teardown.Busy},
		"mkdir /var/lib/docker/x: file exists":                                    {cerrdefs.ErrInternal, teardown.Busy},
		"cannot stop container: tried to kill, but did not receive an exit event": {cerrdefs.ErrInternal, teardown.Busy},
		"the daemon is going down":                                                {cerrdefs.ErrUnavailable, teardown.Busy},
		"context deadline exceeded":                                               {context.DeadlineExceeded, teardown.Busy},
		"error during connect: EOF":                                               {syscall.ECONNRESET, teardown.Busy},
		"something nobody has heard of":                                           {cerrdefs.ErrInternal, teardown.Odd},
		"invalid reference":                                                       {cerrdefs.ErrInvalidArgument, teardown.Failed},
		"authorization denied by plugin":                                          {cerrdefs.ErrPermissionDenied, teardown.Failed},
	} {
		if got := meaning(fmt.Errorf("%s: %w", text, c.class)); got != c.want {
			t.Errorf("%s: %s, want %s", text, got, c.want)
		}
	}
}
