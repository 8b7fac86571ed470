package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/plan"
	"gitlab-sysbox-executor/stages/script"
)

// buildStage is the stage of the job's own script.
const buildStage = "build_script"

// lastStage is the last stage of every job that was not cancelled by force (since Runner 17). It removes file variables.
const lastStage = "cleanup_file_variables"

// Run runs one of the Runner's scripts in the job's environment.
func Run(ctx context.Context, c *contract.Call, cfg *config.Config, x *executor.Executor, path, stage string, out io.Writer, log logrus.FieldLogger) error {
	// One path serves the whole job: an earlier stage's code must not be reported for this
	// stage.
	if c.ExitCodeFile != "" {
		if err := os.Remove(c.ExitCodeFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the exit code file: %w", err)
		}
	}
	id, err := c.Identity()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the script of %s: %w", stage, err)
	}
	environment, err := x.Environment(id)
	if err != nil {
		return err
	}
	helper := helperStage(stage)
	output := known.NewTail(out)
	err = x.Run(ctx, id, environment, executor.Script{
		Stage:       stage,
		Text:        adaptScript(text, environment.Of(helper), c.Variables["PATH"], stage, log),
		Helper:      helper,
		Last:        stage == lastStage,
		Report:      stage == buildStage,
		ServiceLogs: plan.ServiceLogs(c, cfg),
	}, output)
	failed, ok := errors.AsType[*executor.ScriptError](err)
	if !ok || failed.Stopped {
		return err
	}
	if c.ExitCodeFile != "" {
		// The Runner reads only a bare number on the first line.
		if err := os.WriteFile(c.ExitCodeFile, []byte(strconv.Itoa(failed.Code)+"\n"), 0o600); err != nil {
			return fmt.Errorf("the exit code file: %w", err)
		}
	}
	if !failed.Explained && fails(c, stage) {
		hint(ctx, x, id, environment, output, log)
	}
	return err
}

// adaptScript adapts a script of the Runner to the container. A script of an unknown form is not
// changed.
func adaptScript(text []byte, to job.Environment, jobPath, stage string, log logrus.FieldLogger) []byte {
	a := script.Adaptation{POSIX: !to.ANSIQuoting}
	for _, name := range slices.Sorted(maps.Keys(to.Enforced)) {
		a.Set = append(a.Set, script.Variable{Name: name, Value: to.Enforced[name]})
	}
	a.Set = append(a.Set, script.Variable{Name: "TMPDIR", Value: to.TMPDIR})
	if to.Tools != "" && jobPath != "" {
		// The script replaces the environment's PATH by the job's own.
		a.Set = append(a.Set, script.Variable{Name: "PATH", Value: jobPath + ":" + to.Tools})
	}
	adapted, err := script.Adapt(text, a)
	if err != nil {
		var names []string
		for _, v := range a.Set {
			names = append(names, v.Name)
		}
		log.Warnf("The script of %s runs unchanged, so the job's own values of %s take effect: %v", stage, strings.Join(names, ", "), err)
	}
	return adapted
}

// helperStage reports whether a stage of the Runner contains nothing from the job's author but
// variables, and needs git or the gitlab-runner program. Unknown stages are the job's.
func helperStage(stage string) bool {
	switch stage {
	case "get_sources", "clear_worktree", "restore_cache", "download_artifacts", "cleanup_file_variables":
		return true
	}
	// archive_cache, archive_cache_on_failure, upload_artifacts_on_success,
	// upload_artifacts_on_failure
	return strings.HasPrefix(stage, "archive_cache") || strings.HasPrefix(stage, "upload_artifacts")
}
