package job

import (
	"testing"

	"gitlab-sysbox-executor/executor/agent"
)

func TestWhyAHelper(t *testing.T) {
	full := Helper{Mode: HelperAuto, NeedsGit: true, NeedsTool: true, Tool: "/usr/bin/gitlab-runner", ToolName: "gitlab-runner"}
	with := func(change func(*Helper)) Helper { h := full; change(&h); return h }
	for name, c := range map[string]struct {
		helper Helper
		git    bool
		want   string
	}{
		"all is there":        {full, true, ""},
		"no git":              {full, false, "the job's image has no git"},
		"no git, none needed": {with(func(h *Helper) { h.NeedsGit = false }), false, ""},
		"no tool":             {with(func(h *Helper) { h.Tool = "" }), true, ""},
		"never":               {with(func(h *Helper) { h.Mode = HelperJob }), false, ""},
		"always":              {with(func(h *Helper) { h.Mode = HelperContainer }), true, "the configuration says so"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.helper.Why(agent.InspectResponse{Git: c.git}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A backend that brings no gitlab-runner asks whether the image has one.
func TestHelperForTheTool(t *testing.T) {
	h := Helper{Mode: HelperAuto, NeedsTool: true, ToolName: "gitlab-runner"}
	if got := h.Why(agent.InspectResponse{ProgramMissing: true}); got != "the job's image has no gitlab-runner" || !h.Possible() {
		t.Errorf("%q, %t", got, h.Possible())
	}
	if h.Tool = "/usr/bin/gitlab-runner"; h.Why(agent.InspectResponse{ProgramMissing: true}) != "" || h.Possible() {
		t.Error("this machine has it")
	}
}
