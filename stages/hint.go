package stages

import (
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/stages/contract"
)

// fails tells whether the job fails when the named stage's script does, and that
// script is its author's. After after_script it does where the job asks for it
// (GitLab Runner, common/build_settings.go: AfterScriptIgnoreErrors).
func fails(c *contract.Call, stage string) bool {
	if stage == "after_script" {
		ignored, err := strconv.ParseBool(c.Variables["AFTER_SCRIPT_IGNORE_ERRORS"])
		return err == nil && !ignored
	}
	return stage == buildStage || strings.HasPrefix(stage, "step_")
}

// hint says what the output of a script that failed by itself, and the job with
// it, means, if that is known.
func hint(c *contract.Call, failed *executor.ScriptError, output *known.Tail, log logrus.FieldLogger) {
	if failed.Stopped || failed.Explained || !fails(c, failed.Stage) {
		return
	}
	if f, ok := output.Explain(); ok {
		log.Warnf("%s %s (docs/cases/%s.md)", f.Meaning, f.Advice, f.Page)
	}
}
