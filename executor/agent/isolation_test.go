package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/storage"
)

func TestIsolationTool(t *testing.T) {
	for name, c := range map[string]struct {
		uid         int
		has         string
		tun         bool
		tool, fault string
	}{
		"Buildah with crun":         {has: "buildah podman crun", tool: "buildah"},
		"Podman with runc":          {has: "podman runc", tool: "podman"},
		"slirp4netns with a device": {has: "buildah crun slirp4netns", tun: true, tool: "buildah"},
		"slirp4netns":               {has: "buildah crun slirp4netns", fault: "the slirp4netns of the image needs /dev/net/tun"},
		"no runtime":                {has: "buildah", fault: "the image has neither crun nor runc"},
		"another user":              {uid: 1000, has: "buildah crun", fault: "it works for root only"},
		"nothing that builds":       {has: "crun runc slirp4netns"},
		"another user without any":  {uid: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			tool, fault := isolationTool(c.uid, func(program string) bool { return slices.Contains(strings.Fields(c.has), program) }, c.tun)
			if tool != c.tool || fault != c.fault {
				t.Errorf("got %q, %q; want %q, %q", tool, fault, c.tool, c.fault)
			}
		})
	}
}

// An isolation that the image's entrypoint has chosen is neither tried nor reported.
func TestIsolationOfTheEntrypoint(t *testing.T) {
	for _, chosen := range []string{"oci", ""} {
		var r InspectResponse
		r.setIsolation(storage.Settings{Isolation: "chroot", TryIsolation: "rootless"}, account{}, []string{"PATH=/bin", "BUILDAH_ISOLATION=" + chosen}, time.Now())
		if r.Isolation != "" || r.IsolationFault != "" {
			t.Errorf("%q: %+v", chosen, r)
		}
	}
}
