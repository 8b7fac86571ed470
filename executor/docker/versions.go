package docker

import (
	"context"
	"maps"
	"os/exec"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/known"
)

// reportVersions warns of programs in the image, and of a Sysbox on this machine, that
// are known to be faulty.
func (b *Backend) reportVersions(ctx context.Context, image string, r agent.Report) {
	found := maps.Clone(r.Versions)
	if found == nil {
		found = map[string]string{}
	}
	if v := sysboxVersion(ctx); v != "" {
		found[known.Sysbox] = v
	}
	for _, h := range known.Hits(found) {
		where := "in image " + image
		if h.Tool == known.Sysbox {
			where = "on this machine"
		}
		b.Log.Warnf("%s %s %s is known bad: %s; %s. (%s)", h.Command, h.Number, where, h.Effect, h.Advice, h.Source)
	}
}

// sysboxVersion is empty if Sysbox is not installed.
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
