package jobs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// floor is what no job can do without: a network, a volume and a container of the same image and runtime,
// made, started and removed through the engine's API.
type floor struct {
	engine *engine.Engine
	image  string
	next   int
	mu     sync.Mutex
}

func newFloor(b *testing.B) *floor {
	b.Helper()
	e, err := engine.New(harness.World.Engine.Host, time.Minute, engine.TLS{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	return &floor{engine: e, image: harness.Image(b, "bookworm")}
}

func (f *floor) name() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	return fmt.Sprintf("gsx-floor-%d-%d", os.Getpid(), f.next)
}

func (f *floor) run(ctx context.Context, b *testing.B) {
	b.Helper()
	name := f.name()
	must := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	must(f.engine.CreateVolume(ctx, name, nil, nil))
	must(f.engine.CreateNetwork(ctx, engine.Network{Name: name}))
	id, err := f.engine.CreateContainer(ctx, engine.Container{
		Name: name, Image: f.image, Runtime: harness.World.Runtime, Entrypoint: []string{"sleep", "1000"}, Network: name,
		Mounts: []engine.Mount{{Kind: engine.Volume, Source: name, Target: "/var/lib/containers"}},
	})
	must(err)
	must(f.engine.StartContainer(ctx, id))
	must(f.engine.RemoveContainer(ctx, id))
	must(f.engine.RemoveNetwork(ctx, name))
	must(f.engine.RemoveVolume(ctx, name))
}

// fullJob has a cache, artifacts and an after_script: eight stages.
func fullJob(b *testing.B, g *harness.GitLab) runner.Job {
	j := g.Job(harness.Job(b, "bookworm", "mkdir -p cached made && echo cache >cached/it && echo artifact >made/it"), "")
	j.Variables = []runner.Variable{runner.Var("GIT_STRATEGY", "none")}
	j.AfterScript = []string{"true"}
	j.Cache = []runner.Cache{{Key: "key", Paths: []string{"cached/"}}}
	j.Artifacts = []runner.Artifact{{Paths: []string{"made/"}}}
	return j
}

var fullStages = []string{
	runner.StagePrepareScript, runner.StageGetSources, runner.StageRestoreCache, runner.StageBuild, runner.StageAfter,
	runner.StageArchiveCache, runner.StageUploadOnSuccess, runner.StageCleanupFiles,
}

// work is what the scripts of these stages take by themselves, all in one process of the container.
func work(b *testing.B, p *harness.Place, j runner.Job, stages []string) time.Duration {
	b.Helper()
	s, err := p.Runner.Open(j)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	defer s.Cleanup()
	if call, err := s.Config(b.Context()); err != nil {
		b.Fatal(err, call)
	}
	if call := s.Prepare(b.Context()); call.Err != nil {
		b.Fatal(call)
	}
	var text strings.Builder
	text.WriteString("PATH=$PATH:/opt/gitlab-sysbox-executor/bin\nbegan=$(date +%s%N)\n")
	for n, stage := range stages {
		fmt.Fprintf(&text, "bash >/dev/null <<'GSX-END-%d' || echo failed %s\n%s\nGSX-END-%d\n", n, stage, s.Script(stage), n)
	}
	text.WriteString("echo took $(($(date +%s%N) - began))\n")
	c := dockerCommand("exec", "-i", p.Container(b, s), "bash")
	c.Stdin = strings.NewReader(text.String())
	out, err := c.Output()
	if err != nil || bytes.Contains(out, []byte("failed")) {
		b.Fatalf("%v\n%s", err, out)
	}
	_, took, _ := strings.Cut(string(out), "took ")
	n, err := strconv.Atoi(strings.TrimSpace(took))
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return time.Duration(n)
}

func dockerCommand(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"-H", harness.World.Engine.Host}, args...)...)
}

// samples are the times of each thing that is measured.
type samples map[string][]time.Duration

// time measures do.
func (s samples) time(name string, do func()) {
	began := time.Now()
	do()
	s[name] = append(s[name], time.Since(began))
}

func (s samples) median(name string) time.Duration {
	slices.Sort(s[name])
	return s[name][len(s[name])/2]
}

// stage measures a call with an empty script as "stage", and "docker exec" of true in the same container.
func (s samples) stage(b *testing.B, open *runner.Session, container string) {
	b.Helper()
	call := open.RunScript(b.Context(), runner.StageBuild, "#!/usr/bin/env bash\n")
	if call.Err != nil {
		b.Fatal(call)
	}
	s["stage"] = append(s["stage"], call.Duration)
	s.time("docker exec", func() {
		if out, err := dockerCommand("exec", container, "true").CombinedOutput(); err != nil {
			b.Fatalf("docker exec: %v\n%s", err, out)
		}
	})
}

// BenchmarkJobs measures what the executor adds to the floor: the table of docs/performance.md. All is measured in
// turn, so that it meets the same moods of the machine; b.N rounds, of which the medians count.
func BenchmarkJobs(b *testing.B) {
	f, g := newFloor(b), harness.NewGitLab(b)
	p := harness.NewPlace(b, harness.Settings{Other: fmt.Sprintf("[helper]\nmode = \"job\"\nrunner_binary = %q\n", runnerProgram(b))})
	play := func(j runner.Job) func() {
		return func() {
			if r := p.Runner.Play(j); r.Outcome != runner.Success {
				b.Fatal(r)
			}
		}
	}
	open := p.Ready(b, harness.Job(b, "bookworm", "true"))
	container, took, rounds := p.Container(b, open), samples{}, 0
	for b.Loop() {
		rounds++
		took.time("floor", func() { f.run(b.Context(), b) })
		took.time("trivial job", play(harness.Job(b, "bookworm", "true")))
		took.time("full job", play(fullJob(b, g)))
		took["its work"] = append(took["its work"], work(b, p, fullJob(b, g), fullStages))
		took.time("job with a service", play(withService(b)))
		for range 3 {
			took.stage(b, open, container)
			call, err := open.Config(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			took["config"] = append(took["config"], call.Duration)
		}
	}
	lines := outputs(b, open, container)
	perMinute, perMinuteFloor := together(b, f, p)
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + " ms" }
	ratio := func(a, of time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/of.Seconds()) }
	least := took.median("floor")
	fmt.Printf("\nOn %s, medians of %d rounds:\n\n| | time | beside | ratio |\n|---|---|---|---|\n", harness.World.Runtime, rounds)
	row := func(what string, d time.Duration, than string, of time.Duration) {
		fmt.Printf("| %s | %s | %s, %s | %s |\n", what, ms(d), than, ms(of), ratio(d, of))
	}
	row("trivial job (5 stages)", took.median("trivial job"), "the floor", least)
	row("full job (8 stages) without its own work of "+ms(took.median("its work")), took.median("full job")-took.median("its work"), "the floor", least)
	row("job with one service", took.median("job with a service"), "the floor", least)
	row("a stage with an empty script", took.median("stage"), "`docker exec` of `true`", took.median("docker exec"))
	fmt.Printf("| `config` | %s | | |\n", ms(took.median("config")))
	row("400,000 lines of output", lines.ours, "`docker exec`", lines.plain)
	fmt.Printf("| 50 jobs, 10 at a time | %.1f a minute | the floor, %.1f | %.2f |\n", perMinute, perMinuteFloor, perMinute/perMinuteFloor)
	b.ReportMetric(took.median("trivial job").Seconds()/least.Seconds(), "trivial/floor")
	b.ReportMetric(took.median("stage").Seconds()/took.median("docker exec").Seconds(), "stage/exec")
	b.ReportMetric(perMinute/perMinuteFloor, "throughput/floor")
	b.ReportMetric(0, "ns/op") // the sum says nothing
}

func withService(b *testing.B) runner.Job {
	j := harness.Job(b, "bookworm", "true")
	j.Services = []runner.Image{harness.ShellService(b, "service", harness.Stay)}
	return j
}

type outputTimes struct{ ours, plain time.Duration }

// outputs measures how long many lines take to the Runner, and through `docker exec`.
func outputs(b *testing.B, s *runner.Session, container string) outputTimes {
	b.Helper()
	const script = "seq -f 'a line of output, number %.0f' 400000"
	took := samples{}
	for range 5 {
		call := s.RunScript(b.Context(), runner.StageBuild, "#!/usr/bin/env bash\n"+script+"\n")
		if call.Err != nil || strings.Count(call.Output.String(), "\n") < 400000 {
			b.Fatal("lines are missing: ", call.Err)
		}
		took["ours"] = append(took["ours"], call.Duration)
		took.time("plain", func() {
			if out, err := dockerCommand("exec", container, "sh", "-c", script).Output(); err != nil || bytes.Count(out, []byte("\n")) != 400000 {
				b.Fatal("lines are missing: ", err)
			}
		})
	}
	return outputTimes{took.median("ours"), took.median("plain")}
}

// together measures how many jobs a minute can have, ten at a time.
func together(b *testing.B, f *floor, p *harness.Place) (jobs, floor float64) {
	b.Helper()
	const all, atOnce = 50, 10
	perMinute := func(do func()) float64 {
		began, slots := time.Now(), make(chan struct{}, atOnce)
		var running sync.WaitGroup
		for range all {
			running.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				do()
			})
		}
		running.Wait()
		return all / time.Since(began).Minutes()
	}
	job := harness.Job(b, "bookworm", "true")
	// Twice each, in turn; the better of each counts.
	for range 2 {
		floor = max(floor, perMinute(func() { f.run(b.Context(), b) }))
		jobs = max(jobs, perMinute(func() {
			if r := p.Runner.Play(job); r.Outcome != runner.Success {
				b.Error(r)
			}
		}))
	}
	return jobs, cmp.Or(floor, 1)
}
