package executor

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

var identity = job.Identity{Server: "gitlab.example.com", RunnerID: 1, ProjectID: 2, PipelineID: 3, JobID: 4}

// Later stages, also in other processes, know the resources that prepare made. They are removed with the job.
func TestALifeOfAJob(t *testing.T) {
	x, b := inMemory(t)
	b.prepare = func(context.Context) (job.Environment, error) {
		return job.Environment{Container: "c", Shell: "/bin/sh"}, x.Dir.MakeJob(identity.Name())
	}
	if _, err := x.Environment(identity); err == nil || !strings.Contains(err.Error(), "no prepared container") {
		t.Errorf("before prepare: %v", err)
	}
	if err := x.Prepare(t.Context(), job.Plan{Identity: identity}); err != nil {
		t.Fatal(err)
	}
	e, err := x.Environment(identity)
	if err != nil || e.Container != "c" || e.Shell != "/bin/sh" || b.count() != 1 {
		t.Errorf("%+v, %v, %d networks", e, err, b.count())
	}
	err = x.Run(t.Context(), identity, e, Script{Stage: "build_script"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no process") {
		t.Errorf("run: %v", err)
	}
	if stage, _ := x.Dir.Stage(identity.Name()); stage != "build_script" {
		t.Errorf("the stage is %q", stage)
	}
	for range 2 {
		if err := x.Cleanup(t.Context(), identity); err != nil || b.count() != 0 {
			t.Errorf("%v, %d networks", err, b.count())
		}
	}
	if _, there, err := journal.Read(x.Dir.Journals(), identity.Name()); there || err != nil || x.Dir.HasJob(identity.Name()) {
		t.Errorf("the journal is there: %t, %v", there, err)
	}
}

// A prepare that failed has recorded its resources. The next prepare begins without them.
func TestAFailedPrepare(t *testing.T) {
	x, b := inMemory(t)
	refused := errors.New("no")
	b.prepare = func(context.Context) (job.Environment, error) { return job.Environment{}, refused }
	if err := x.Prepare(t.Context(), job.Plan{Identity: identity}); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	content, there, err := journal.Read(x.Dir.Journals(), identity.Name())
	if !there || err != nil || len(content.Resources) != 2 || !content.Resources[1].Answered {
		t.Errorf("%t, %v, %+v", there, err, content.Resources)
	}
	b.prepare = func(context.Context) (job.Environment, error) {
		if b.count() != 1 {
			t.Errorf("%d networks in the second attempt", b.count())
		}
		return job.Environment{Container: "c"}, nil
	}
	if err := x.Prepare(t.Context(), job.Plan{Identity: identity}); err != nil {
		t.Error(err)
	}
}

// The record of its file variables is removed with the script that removes the variables.
func TestSecretsAreForgottenWithTheirRemoval(t *testing.T) {
	x, _ := inMemory(t)
	if err := os.MkdirAll(x.Dir.Job(identity.Name()), 0o700); err != nil {
		t.Fatal(err)
	}
	k := new(lasting)
	x.Kept = k
	err := x.Run(t.Context(), identity, job.Environment{Builds: "v"}, Script{Last: true}, io.Discard)
	if err == nil || len(k.forgot) > 0 {
		t.Errorf("after a script that failed: %v, %q", err, k.forgot)
	}
}
