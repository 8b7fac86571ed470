package stages

import (
	"context"
	"maps"
	"os/exec"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/stages/contract"
)

// fails reports whether a failure of the stage's script fails the job, and the script is its
// author's. For after_script the job decides (GitLab Runner, common/build_settings.go:
// AfterScriptIgnoreErrors).
func fails(c *contract.Call, stage string) bool {
	if stage == "after_script" {
		ignored, err := strconv.ParseBool(c.Variables["AFTER_SCRIPT_IGNORE_ERRORS"])
		return err == nil && !ignored
	}
	return accounting.Authors(stage)
}

// hint logs what the output of a failed script means, if that is known, and which tools
// are known to fail. The tools are asked only now: a job that passes need not wait.
func hint(ctx context.Context, x *executor.Executor, id job.Identity, e job.Environment, output *known.Tail, log logrus.FieldLogger) {
	if f, ok := output.Explain(); ok {
		if f.Damage {
			x.SpoilDisk(id, e)
		}
		log.Warnf("%s %s (docs/cases/%s.md)", f.Meaning, f.Advice, f.Page)
	}
	versions, err := x.Versions(ctx, e)
	if err != nil {
		log.Debugf("The versions of the tools in the job's container are not known: %v", err)
	}
	reportBad(versions, sysboxVersion(ctx), e.Image, log)
}

// reportBad logs which tools of the image, by their versions, are known to fail. So may
// Sysbox on this machine.
func reportBad(versions map[string]string, sysbox, image string, log logrus.FieldLogger) {
	found := map[string]string{known.Sysbox: sysbox}
	maps.Copy(found, versions)
	for _, h := range known.Hits(found) {
		where := "in image " + image
		if h.Tool == known.Sysbox {
			where = "on this machine"
		}
		log.Warnf("%s %s %s is known bad: %s; %s. (%s)", h.Command, h.Number, where, h.Effect, h.Advice, h.Source)
	}
}

// sysboxVersion returns the version of Sysbox on this machine; empty if it is not installed.
func sysboxVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "sysbox-runc", "--version")
	c.WaitDelay = 100 * time.Millisecond
	out, err := c.Output()
	if err != nil {
		return ""
	}
	return known.Number(string(out))
}
