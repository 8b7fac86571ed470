package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostRunner is a Runner whose driver runs jobs on this machine.
func hostRunner(t *testing.T) Runner {
	t.Helper()
	driver, err := filepath.Abs("testdata/host-driver")
	if err != nil {
		t.Fatal(err)
	}
	return Runner{
		Driver: NewDriver(driver), Env: []string{"HOST_DRIVER_DIR=" + t.TempDir()}, TempRoot: t.TempDir(),
		RetryPause: time.Millisecond, GracefulKill: 5 * time.Second, ForceKill: 2 * time.Second, FinishWait: 5 * time.Second,
		StageTimeout: 20 * time.Second,
	}
}

func hostJob(script ...string) Job {
	return Job{Variables: []Variable{Var("GIT_STRATEGY", "none")}, Script: script, Timeout: time.Minute}
}

// on adds shell code that the driver runs at the start of a stage.
func (j Job) on(stage, code string) Job {
	j.Variables = append(slices.Clone(j.Variables), Variable{Key: "ON_" + stage, Value: code, Raw: true})
	return j
}

func wantStages(t *testing.T, r *Result, want string) {
	t.Helper()
	if got := strings.Join(r.Stages(), " "); got != want {
		t.Errorf("stages\n got %s\nwant %s\n%s", got, want, r)
	}
}

func wantOutcome(t *testing.T, r *Result, outcome Outcome, code int) {
	t.Helper()
	if r.Outcome != outcome || r.ExitCode != code {
		t.Errorf("outcome %s %d, want %s %d\n%s", r.Outcome, r.ExitCode, outcome, code, r)
	}
}

const (
	begin = "config prepare prepare_script get_sources "
	end   = " cleanup_file_variables cleanup"
)

func TestMinimalJob(t *testing.T) {
	t.Parallel()
	r := hostRunner(t).Play(hostJob(`echo "job env $FROM_CONFIG, $(pwd)"`))
	wantOutcome(t, r, Success, 0)
	wantStages(t, r, begin+"build_script"+end)
	project := r.Call("prepare").Value("CUSTOM_ENV_CI_PROJECT_DIR")
	if !r.Log.Has("job env yes, "+project) || !strings.HasSuffix(project, "/builds/group/project") {
		t.Errorf("no line with the project's folder %s:\n%s", project, r)
	}
	if got := r.Call("config").Value("CUSTOM_ENV_CI_PROJECT_DIR"); got != "" {
		t.Errorf("config saw the project's folder %q", got)
	}
	if !r.Log.Has("status success") {
		t.Errorf("cleanup saw another status:\n%s", r.Call("cleanup"))
	}
}

func TestEveryStage(t *testing.T) {
	t.Parallel()
	job := hostJob("true")
	job.AfterScript = []string{`echo "after: $CI_JOB_STATUS"`}
	job.Steps = []Step{{Name: "release", Script: []string{"echo release $CI_JOB_ID"}}}
	job.Cache = []Cache{{Key: "k", Paths: []string{"c/"}, When: "always"}}
	job.Artifacts = []Artifact{{Name: "a", Paths: []string{"x"}, When: "always"}}
	job.Dependencies = []Dependency{{ID: 1, Name: "earlier"}}
	head := begin + "restore_cache download_artifacts build_script "

	r := hostRunner(t).Play(job)
	wantOutcome(t, r, Success, 0)
	wantStages(t, r, head+"step_release after_script archive_cache upload_artifacts_on_success"+end)

	job.Script = []string{"exit 42"}
	r = hostRunner(t).Play(job)
	wantOutcome(t, r, ScriptFailure, 42)
	wantStages(t, r, head+"after_script archive_cache_on_failure upload_artifacts_on_failure"+end)
	if !r.Log.Has("after: failed") || !r.Log.Has("status failed") {
		t.Errorf("later stages saw another status:\n%s", r)
	}
}

func TestPrepareIsRetriedUnlessTheJobIsAtFault(t *testing.T) {
	t.Parallel()
	thrice := strings.TrimSuffix(strings.Repeat("config prepare cleanup ", 3), " ")
	for name, c := range map[string]struct {
		stage, code, stages string
		outcome             Outcome
	}{
		"exit 2":         {"PREPARE", "exit 2", thrice, SystemFailure},
		"exit 7":         {"PREPARE", "exit 7", thrice, SystemFailure},
		"exit 1":         {"PREPARE", "exit 1", "config prepare cleanup", ScriptFailure},
		"config exit 2":  {"CONFIG", "exit 2", "config cleanup config cleanup config cleanup", SystemFailure},
		"bad JSON":       {"CONFIG", "echo noise", "config cleanup config cleanup config cleanup", SystemFailure},
		"no builds_dir":  {"CONFIG", "echo {}; exit", "config cleanup", ConfigurationError},
		"bad code file":  {"PREPARE", `echo x >"$BUILD_EXIT_CODE_FILE"; exit 1`, thrice, SystemFailure},
		"code in a file": {"PREPARE", `printf '9\nnoise' >"$BUILD_EXIT_CODE_FILE"; exit 1`, "config prepare cleanup", ScriptFailure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := hostRunner(t).Play(hostJob("true").on(c.stage, c.code))
			if r.Outcome != c.outcome {
				t.Errorf("outcome %s, want %s\n%s", r.Outcome, c.outcome, r)
			}
			wantStages(t, r, c.stages)
			folders := map[string]bool{}
			for _, call := range r.Calls {
				folders[call.Value("TMPDIR")] = true
			}
			if attempts := strings.Count(c.stages, "cleanup"); len(folders) != attempts {
				t.Errorf("%d temporary folders for %d attempts", len(folders), attempts)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    string
		outcome Outcome
		exit    int
	}{
		"build failure without a file": {`rm -f "$BUILD_EXIT_CODE_FILE"; exit $BUILD_FAILURE_EXIT_CODE`, ScriptFailure, 71},
		"system failure":               {`exit $SYSTEM_FAILURE_EXIT_CODE`, SystemFailure, 0},
		"hard-coded 1":                 {`exit 1`, SystemFailure, 0},
		"killed":                       {`kill -KILL $$`, SystemFailure, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runner := hostRunner(t)
			runner.BuildFailureExit, runner.SystemFailureExit = 71, 72
			r := runner.Play(hostJob("true").on("RUN", `[[ $2 != build_script ]] || { `+c.code+`; }`))
			wantOutcome(t, r, c.outcome, c.exit)
			wantStages(t, r, begin+"build_script"+end) // no retry, and the rest still runs
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	job := hostJob("echo ready", "sleep 30")
	job.AfterScript = []string{`echo "after: $CI_JOB_STATUS"`}
	play := hostRunner(t).Start(job)
	if _, err := play.Log.WaitFor("ready", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	play.Cancel()
	r := play.Wait()
	wantOutcome(t, r, Canceled, 0)
	wantStages(t, r, begin+"build_script after_script"+end)
	if !r.Log.Has("after: canceled") {
		t.Errorf("after_script saw another status:\n%s", r)
	}
}

func TestCancelBeforeTheScript(t *testing.T) {
	t.Parallel()
	play := hostRunner(t).Start(hostJob("true").on("PREPARE", "echo ready; sleep 30"))
	if _, err := play.Log.WaitFor("ready", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	play.Cancel()
	r := play.Wait()
	wantOutcome(t, r, Canceled, 0)
	wantStages(t, r, "config prepare cleanup")
}

func TestAbortKillsADriverThatIgnoresTERM(t *testing.T) {
	t.Parallel()
	runner := hostRunner(t)
	runner.GracefulKill = 200 * time.Millisecond
	play := runner.Start(hostJob("true").on("RUN", `trap '' TERM; [[ $2 != build_script ]] || { echo ready; sleep 30; }`))
	if _, err := play.Log.WaitFor("ready", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	play.Abort()
	r := play.Wait()
	wantOutcome(t, r, Canceled, 0)
	wantStages(t, r, begin+"build_script cleanup")
	if got := r.Call(StageBuild).Signal.String(); got != "killed" {
		t.Errorf("the driver ended by %q", got)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	job := hostJob("sleep 30")
	job.AfterScript = []string{"echo after"}

	whole := job
	whole.Timeout = 2 * time.Second
	r := hostRunner(t).Play(whole)
	wantOutcome(t, r, TimedOut, 0)
	wantStages(t, r, begin+"build_script cleanup")

	job.Variables = append(job.Variables, Var("RUNNER_SCRIPT_TIMEOUT", "1s"))
	r = hostRunner(t).Play(job)
	wantOutcome(t, r, TimedOut, 0)
	wantStages(t, r, begin+"build_script after_script"+end)
}

func TestSourcesAreTriedAgainInAClearedWorktree(t *testing.T) {
	t.Parallel()
	job := hostJob("true").on("RUN", `[[ $2 != get_sources ]] || exit $BUILD_FAILURE_EXIT_CODE`)
	job.Variables = append(job.Variables, Var("GET_SOURCES_ATTEMPTS", "2"))
	r := hostRunner(t).Play(job)
	wantOutcome(t, r, ScriptFailure, 1)
	wantStages(t, r, begin+"clear_worktree get_sources"+end)
}

func TestWhatTheDriverIsGiven(t *testing.T) {
	t.Parallel()
	job := hostJob("true")
	job.Image = Image{Name: "registry/$FLAVOUR", Entrypoint: []string{""}, User: "1000", Platform: "arm64", PullPolicies: []string{"never"}}
	job.Services = []Image{{Name: "postgres", Alias: "db,base", Variables: []Variable{Var("NAME", "$FLAVOUR-db")}}}
	job.Variables = append(job.Variables, Var("FLAVOUR", "red"), Var("TWICE", "$FLAVOUR $FLAVOUR"),
		Variable{Key: "KEY", Value: "secret\ncontent", File: true, Masked: true}, Var("PATH_OF_KEY", "$KEY"),
		Variable{Key: "RAW", Value: "$FLAVOUR", Raw: true})
	s, err := hostRunner(t).Open(job)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Config(t.Context()); err != nil {
		t.Fatal(err)
	}
	call := s.Prepare(t.Context())
	for key, want := range map[string]string{
		"CUSTOM_ENV_TWICE": "red red", "CUSTOM_ENV_KEY": "secret\ncontent", "CUSTOM_ENV_RAW": "$FLAVOUR",
		"CUSTOM_ENV_CI_JOB_IMAGE": "registry/red", "FROM_CONFIG": "yes", "TMPDIR": s.Dir,
		"CUSTOM_ENV_PATH_OF_KEY":     call.Value("CUSTOM_ENV_RUNNER_TEMP_PROJECT_DIR") + "/KEY",
		"CUSTOM_ENV_CI_JOB_SERVICES": `[{"name":"postgres","alias":"db","entrypoint":null,"command":null,"variables":{"NAME":"red-db"}}]`,
	} {
		if got := call.Value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for path, want := range map[string]os.FileMode{s.Dir: 0o700 | os.ModeDir, s.ResponseFile(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want mode %v", path, info.Mode(), err, want)
		}
	}
	body, err := os.ReadFile(s.ResponseFile())
	if err != nil {
		t.Fatal(err)
	}
	var sent struct {
		ID    int64
		Image struct {
			Name       string
			Entrypoint []string
			PullPolicy []string `json:"pull_policy"`
			Options    struct {
				Docker struct{ Platform, User string }
			} `json:"executor_opts"`
		}
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}
	if sent.ID != s.Job.ID || sent.Image.Name != "registry/red" || !slices.Equal(sent.Image.Entrypoint, []string{""}) ||
		sent.Image.Options.Docker.User != "1000" || sent.Image.Options.Docker.Platform != "arm64" {
		t.Errorf("the payload says %+v", sent)
	}
	process := s.StartRun(StageBuild, "#!/bin/sh\nstat -c 'mode %a' \"$0\"\npwd\n")
	if call, err := process.Wait(10 * time.Second); err != nil || !call.Output.Has("mode 700") || !call.Output.Has(s.Dir) {
		t.Errorf("%v %v", err, call)
	}
}

// TestStaleCode: the harness never removes the code file, so that a driver
// that doesn't either is found out.
func TestStaleCode(t *testing.T) {
	t.Parallel()
	r := hostRunner(t).Play(hostJob("true").on("RUN", `
		[[ $2 != get_sources ]] || { echo 99 >"$BUILD_EXIT_CODE_FILE"; exit 0; }
		[[ $2 != build_script ]] || exit $BUILD_FAILURE_EXIT_CODE`))
	wantOutcome(t, r, ScriptFailure, 99)
}

func TestTooMuchEnvironment(t *testing.T) {
	t.Parallel()
	job := hostJob("true")
	job.Variables = append(job.Variables, Var("BIG", strings.Repeat("x", 140_000)))
	r := hostRunner(t).Play(job)
	wantOutcome(t, r, SystemFailure, 0)
	if !strings.Contains(r.Err.Error(), "argument list too long") {
		t.Error(r.Err)
	}
}

func TestLinesArriveAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	r := hostRunner(t).Play(hostJob("echo one; sleep 0.5; echo two; printf three"))
	var at []time.Time
	for _, text := range []string{"one", "two", "three"} {
		line, err := r.Call(StageBuild).Output.WaitFor(text, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, line.At)
	}
	if gap := at[1].Sub(at[0]); gap < 400*time.Millisecond {
		t.Errorf("two came %s after one", gap)
	}
}

// What a driver's process takes of memory at its peak is known, also when the test
// itself has had more.
func TestPeakOfMemory(t *testing.T) {
	t.Parallel()
	own := make([]byte, 96<<20)
	for n := range own {
		own[n] = 1
	}
	r := hostRunner(t).Play(hostJob("true").on("PREPARE", `big=$(head -c 48000000 /dev/zero | tr '\0' x); unset big`))
	wantOutcome(t, r, Success, 0)
	if peak := r.Call("prepare").MaxRSS; peak < 48_000_000 {
		t.Errorf("prepare took 48 MB of memory, and %d bytes were seen", peak)
	}
	if peak := r.Call("cleanup").MaxRSS; peak > 40<<20 {
		t.Errorf("cleanup took little memory, and %d bytes were seen", peak)
	}
	runtime.KeepAlive(own)
}
