package stages

import (
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/known"
)

// authored tells the stages whose script the job's author wrote.
func authored(stage string) bool {
	return stage == "build_script" || stage == "after_script" || strings.HasPrefix(stage, "step_")
}

// hint says what the output of a script that failed by itself means, if that is known.
func hint(failed *executor.ScriptError, output *known.Tail, log logrus.FieldLogger) {
	if failed.Stopped || !authored(failed.Stage) {
		return
	}
	if f, ok := output.Explain(); ok {
		log.Warnf("%s %s (docs/cases/%s.md)", f.Meaning, f.Advice, f.Page)
	}
}
