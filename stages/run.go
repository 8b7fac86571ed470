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

// Run runs one of the Runner's scripts in the job's environment.
func Run(ctx context.Context, c *contract.Call, cfg *config.Config, x *executor.Executor, path, stage string, out io.Writer, log logrus.FieldLogger) error {
	// One path serves the whole job: an earlier stage's code must not be reported
	// as this one's.
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
		Stage:          stage,
		Text:           adaptScript(text, environment.Of(helper), c.Variables["PATH"], stage, log),
		Helper:         helper,
		RemovesSecrets: stage == "cleanup_file_variables",
		Report:         stage == buildStage,
		ServiceLogs:    plan.ServiceLogs(c, cfg),
	}, output)
	failed, ok := errors.AsType[*executor.ScriptError](err)
	if !ok || failed.Stopped {
		return err
	}
	if c.ExitCodeFile != "" {
		// The first line, and a bare number: the Runner takes nothing else.
		if err := os.WriteFile(c.ExitCodeFile, []byte(strconv.Itoa(failed.Code)+"\n"), 0o600); err != nil {
			return fmt.Errorf("the exit code file: %w", err)
		}
	}
	if !failed.Explained && fails(c, stage) {
		hint(ctx, x, environment, output, log)
	}
	return err
}

// adaptScript fits a script of the Runner's to the container. A script that is not
// of the Runner's known form is run as it is.
func adaptScript(text []byte, to job.Environment, jobPath, stage string, log logrus.FieldLogger) []byte {
	a := script.Adaptation{POSIX: !to.ANSIQuoting}
	for _, name := range slices.Sorted(maps.Keys(to.Enforced)) {
		a.Set = append(a.Set, script.Variable{Name: name, Value: to.Enforced[name]})
	}
	a.Set = append(a.Set, script.Variable{Name: "TMPDIR", Value: to.TMPDIR})
	if to.Tools != "" && jobPath != "" {
		// The script exports the job's own PATH over that of its environment.
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

// helperStage tells the Runner's stages that have nothing of the job's author in
// them but variables, and that need git or the gitlab-runner program. An unknown
// stage is the job's.
func helperStage(stage string) bool {
	switch stage {
	case "get_sources", "clear_worktree", "restore_cache", "download_artifacts", "cleanup_file_variables":
		return true
	}
	// archive_cache, archive_cache_on_failure, upload_artifacts_on_success, upload_artifacts_on_failure
	return strings.HasPrefix(stage, "archive_cache") || strings.HasPrefix(stage, "upload_artifacts")
}
