package kubernetes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// rule is a rule of a Role.
type rule struct {
	APIGroups []string `json:"apiGroups"`
	Resources []string `json:"resources"`
	Verbs     []string `json:"verbs"`
}

// Each right of deploy/kubernetes.yaml is needed: without it a job fails, something of it is left, or its log lacks something.
func TestRightsAreNeeded(t *testing.T) {
	role := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + world.env["NAMESPACE"] + "/roles/gitlab-sysbox-executor"
	var all struct{ Rules []rule }
	get(t, role, &all)
	set := func(rules []rule) {
		text, err := json.Marshal(map[string]any{"metadata": map[string]string{"name": "gitlab-sysbox-executor"}, "rules": rules})
		if err != nil {
			t.Fatal(err)
		}
		send(t, "PUT", role, string(text))
	}
	t.Cleanup(func() { set(all.Rules) })
	j := job("true")
	j.Image.Entrypoint = []string{"/bin/sh", "-c", `echo entered; exec "$@"`, "entry"}
	p := newPlace(t)
	if r := p.succeed(t, j); !strings.Contains(r.Log.String(), "entered") {
		t.Fatal(r)
	}
	p.wantNothing(t)
	tried := 0
	for n, one := range all.Rules {
		for m, verb := range one.Verbs {
			right := fmt.Sprintf("%s %s", verb, one.Resources)
			if one.Resources[0] == "events" || right == "get [pods/exec]" {
				continue // TestPodsThatDoNotStart needs the first, and Kubernetes before 1.35 the second
			}
			tried++
			fewer := slices.Clone(all.Rules)
			if fewer[n].Verbs = slices.Delete(slices.Clone(one.Verbs), m, m+1); len(fewer[n].Verbs) == 0 {
				fewer = slices.Delete(fewer, n, n+1)
			}
			set(fewer)
			r := p.Play(j)
			text := r.Log.String()
			if r.Outcome == runner.Success && r.Call("cleanup").Err == nil && strings.Contains(text, "entered") && !strings.Contains(text, "could not be renewed") && len(pods(t)) == 0 &&
				!p.gcFails(t, set, all.Rules, fewer) {
				t.Errorf("%s is not needed", right)
			}
			if r.Outcome == runner.ScriptFailure {
				t.Errorf("without %s the job is at fault: %s", right, r)
			}
			set(all.Rules)
			p.command(t, "gc")
			p.wantNothing(t)
		}
	}
	if tried != 12 {
		t.Errorf("%d rights", tried)
	}
}

// gcFails reports whether gc with fewer rights fails while a job lives.
func (p *place) gcFails(t *testing.T, set func([]rule), all, fewer []rule) bool {
	t.Helper()
	set(all)
	s := p.prepared(t, job("true"))
	set(fewer)
	_, err := p.try("gc")
	set(all)
	if call := s.Cleanup(); call.Err != nil {
		t.Error(call)
	}
	return err != nil
}

// Why a pod that a node has taken does not start is only in the events about it.
func TestPodsThatDoNotStart(t *testing.T) {
	localVolume(t, "/nonexistent")
	p := newPlace(t, `storage.backend = "ephemeral"`, `storage.class = "gsx"`, `kubernetes.start_timeout = "8s"`)
	r := p.Play(job("true"))
	if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), "did not run within 8s: FailedMount") {
		t.Error(r)
	}
	p.wantNothing(t)
}
