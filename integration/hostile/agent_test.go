package hostile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// hostile is a job in an image that has put its own program in the place of the
// executor's agent; mode says what that program does.
func hostile(t testing.TB, mode string, script ...string) runner.Job {
	t.Helper()
	j := harness.With(harness.Job(t, "hostile-agent", script...), runner.Var("HOSTILE", mode))
	j.Services = []runner.Image{slow(t)}
	return j
}

// slow is a service that is ready after a second: while it is waited for, an image's entrypoint does its work.
func slow(t testing.TB) runner.Image {
	s := harness.Service(t, "healthcheck", "harmless")
	s.Variables = []runner.Variable{runner.Var("READY_AFTER", "1")}
	return s
}

// hostilePlace is one whose jobs may keep prepare waiting for a short time only.
func hostilePlace(t testing.TB, s harness.Settings) *harness.Place {
	t.Helper()
	s.Job += "\ninspect_timeout = \"5s\"\nentrypoint_timeout = \"5s\""
	p := harness.NewPlace(t, s)
	p.Runner.StageTimeout, p.Runner.GracefulKill = 2*time.Minute, 10*time.Second
	return p
}

// wantJobsFault wants a job to have failed in prepare, once, as its own fault, reported
// in one short line that holds these texts, with little memory of the driver's.
func wantJobsFault(t testing.TB, r *runner.Result, texts ...string) {
	t.Helper()
	harness.WantLittleMemory(t, r)
	if r.Outcome != runner.ScriptFailure || r.Call("build_script") != nil {
		t.Errorf("not the job's fault in prepare: %.4000s", r)
		return
	}
	harness.WantRefused(t, r.Call("prepare"), texts...)
}

// A program in the place of the agent in the job's container: whatever it answers,
// the driver's memory is bounded, and so is its time.
func TestHostileAgentInJob(t *testing.T) {
	t.Parallel()
	for mode, texts := range harness.SomeOf(3, map[string][]string{
		"flood":  {"the agent in the job's container", "more than 1MiB"},
		"errors": {"the agent in the job's container", "more than 64KiB"},
		"stop":   {"the agent in the job's container", "has not answered"},
		"bomb":   {"the agent in the job's container"},
		"deep":   {"the agent in the job's container"},
		"nobody": {"the agent in the job's container", "-7"},
	}) {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			wantJobsFault(t, hostilePlace(t, harness.Settings{}).Runner.Play(hostile(t, mode, "true")), texts...)
		})
	}
}

// The same in the container of a service, which is looked at as well.
func TestHostileAgentInService(t *testing.T) {
	t.Parallel()
	for mode, texts := range harness.SomeOf(1, map[string][]string{
		"flood": {"service gsx-test/hostile-agent:latest", "more than 1MiB"},
		"stop":  {"service gsx-test/hostile-agent:latest", "has not answered"},
		"bomb":  {"service gsx-test/hostile-agent:latest"},
	}) {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			j := harness.Job(t, "bookworm", "true")
			j.Services = []runner.Image{slow(t)}
			for n := range 5 {
				service := harness.Service(t, "hostile-agent", fmt.Sprintf("hostile-%d", n))
				service.Variables = []runner.Variable{runner.Var("HOSTILE", mode)}
				j.Services = append(j.Services, service)
			}
			wantJobsFault(t, hostilePlace(t, harness.Settings{}).Runner.Play(j), texts...)
		})
	}
}

// What an agent says of the job's use of storage takes no room from other jobs: that
// of a folder without a limit of its own is not known from anywhere else.
func TestHostileUsage(t *testing.T) {
	t.Parallel()
	p := hostilePlace(t, harness.Settings{Other: "[storage]\nbackend = \"volume\""})
	s := p.Ready(t, hostile(t, "usage", "true"))
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil {
		t.Fatal(call)
	}
	if st := p.PS(t, s).Storage; st == nil || st.Used != 0 || st.Peak < 0 || st.Peak > 1<<50 {
		t.Errorf("ps says %+v", st)
	}
	harness.WantLittleMemory(t, p.Succeed(t, harness.Job(t, "bookworm", "true")))
}

// Root in the job's container can write to the agent's streams: what is
// there without the request's nonce does not end a stage.
func TestHostileOutcome(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{})
	r := p.Runner.Play(harness.Job(t, "bookworm", `echo '{}' >/proc/$PPID/fd/2`, `echo '{"code":0}' >/proc/$PPID/fd/2`, "sleep 7", "echo went on", "exit 7"))
	harness.WantLittleMemory(t, r)
	if r.Outcome != runner.ScriptFailure || r.ExitCode != 7 {
		t.Error(r)
	}
	harness.WantLines(t, r, "went on")
}

// A service that writes one line without an end, and its log shown in the job's.
func TestHostileLog(t *testing.T) {
	t.Parallel()
	p := hostilePlace(t, harness.Settings{Other: "[container]\nlog_options = [\"max-size=1m\", \"max-file=2\"]"})
	j := harness.With(harness.Job(t, "bookworm", "sleep 3", "echo went on"), runner.Var("CI_DEBUG_SERVICES", "true"))
	service := harness.Service(t, "hostile-agent", "hostile")
	service.Variables = []runner.Variable{runner.Var("HOSTILE", "log")}
	j.Services = []runner.Image{service}
	r := p.Runner.Play(j)
	harness.WantLittleMemory(t, r)
	if r.Outcome != runner.Success || !r.Call(runner.StageBuild).Output.Has("went on") {
		t.Errorf("%.4000s", r)
	}
	for _, l := range r.Log.Lines() {
		if len(l.Text) > 64<<10 {
			t.Errorf("a line of %d bytes: %.100s", len(l.Text), l.Text)
		}
	}
}

// An image's author chooses how long its labels are, which the engine lists with it and
// of each of its containers.
func TestHostileImageLabels(t *testing.T) {
	t.Parallel()
	const name = "gsx-test/labels"
	made := harness.Ask(t, "POST", "/containers/create", map[string]any{"Image": harness.Image(t, "bookworm")})
	t.Cleanup(func() { harness.Ask(t, "DELETE", "/images/"+name, nil) })
	harness.Ask(t, "POST", fmt.Sprintf("/commit?container=%s&repo=%s&tag=latest", made["Id"], name), map[string]any{"Labels": map[string]string{"x": strings.Repeat("y", 40<<20)}})
	harness.Ask(t, "DELETE", fmt.Sprintf("/containers/%s", made["Id"]), nil)
	j := harness.Job(t, "bookworm", "true")
	j.Image.Name = name + ":latest"
	wantJobsFault(t, harness.NewPlace(t, harness.Settings{}).Runner.Play(j), "labels and variables", "1MiB")
}
