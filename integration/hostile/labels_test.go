package hostile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

const ourLabel = "io.gitlab-sysbox-executor."

// labelled is a thin image on another one, with labels.
func labelled(t *testing.T, name string, labels map[string]string) (reference string) {
	t.Helper()
	id := harness.Ask(t, http.MethodPost, "/containers/create", map[string]any{"Image": harness.Image(t, "bookworm")})["Id"].(string)
	defer harness.Ask(t, http.MethodDelete, "/containers/"+id, nil)
	query := url.Values{"container": {id}, "repo": {"gsx-test/" + name}, "tag": {"latest"}}
	for label, value := range labels {
		query.Add("changes", fmt.Sprintf("LABEL %s=%q", label, value))
	}
	harness.Ask(t, http.MethodPost, "/commit?"+query.Encode(), map[string]any{})
	reference = "gsx-test/" + name + ":latest"
	t.Cleanup(func() { harness.Ask(t, http.MethodDelete, "/images/"+reference+"?force=1", nil) })
	return reference
}

// runs tells whether the engine has a container of that name or ID and it runs.
func runs(t *testing.T, container string) bool {
	t.Helper()
	found, err := harness.World.Engine.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		if (c.ID == container || strings.TrimPrefix(c.Name, "/") == container) && strings.HasSuffix(c.Detail, ", running") {
			return true
		}
	}
	return false
}

// A container of somebody else's, whose image has our labels and names a process of
// this machine that is gone, is not removed by gc.
func TestHostileLabelsOfAForeignContainer(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	dead := owner.Current()
	dead.Started++
	const job = "gsx-0123abcd-p1-j2"
	img := labelled(t, "foreign-labels", map[string]string{
		ourLabel + "name": job, ourLabel + "owner": dead.String(), ourLabel + "role": "build", ourLabel + "server": "\x1b]0;owned\a",
	})
	for _, name := range []string{"gsx-hostile-web", job + "9"} {
		id := harness.Ask(t, http.MethodPost, "/containers/create?name="+name, map[string]any{
			"Image": img, "Cmd": []string{"sleep", "600"}, "HostConfig": map[string]any{"Runtime": harness.World.Runtime},
		})["Id"].(string)
		t.Cleanup(func() { harness.Ask(t, http.MethodDelete, "/containers/"+id+"?force=1", nil) })
		harness.Ask(t, http.MethodPost, "/containers/"+id+"/start", nil)
		out := p.GC(t)
		if !runs(t, id) || strings.Contains(out, job) {
			t.Errorf("container %s: gc said\n%s", name, out)
		}
		if listed := p.Run(t, "ps"); strings.Contains(listed, job) || strings.Contains(listed, "\x1b") || strings.Contains(listed, "owned") {
			t.Errorf("ps: %q", listed)
		}
	}
}

// An image with the label of the containers that fill the store of shared images, and
// with every other of ours, runs as any other does.
func TestHostileLabelsOfAJobsImage(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\""})
	sum := sha256.Sum256([]byte(p.StateDir))
	labels := map[string]string{ourLabel + "images": hex.EncodeToString(sum[:4])}
	for _, label := range []string{"name", "state", "owner", "kept", "protected", "slot", "server", "project", "job", "role"} {
		labels[ourLabel+label] = "gsx-0123abcd-p1-j2"
	}
	if err := os.MkdirAll(filepath.Join(p.StateDir, "images"), 0o755); err != nil { // as a store has it
		t.Fatal(err)
	}
	j := harness.Job(t, "bookworm", "echo it runs")
	j.Image.Name = labelled(t, "own-labels", labels)
	j.Services = []runner.Image{{Name: j.Image.Name, Command: []string{"sleep", "600"}, PullPolicies: []string{"if-not-present"}}}
	s := p.Ready(t, j)
	name := harness.JobName(t, s)
	out := p.GC(t)
	for _, container := range []string{name, name + "-s0"} {
		if !runs(t, container) {
			t.Errorf("%s is gone\n%s", container, out)
		}
		found, err := harness.World.Engine.Containers(t.Context(), ourLabel+"name="+name)
		if err != nil || len(found) != 2 {
			t.Error(found, err)
		}
		for _, f := range found {
			if f.Labels[ourLabel+"images"] != "" || f.Labels[ourLabel+"kept"] != "" || f.Labels[ourLabel+"slot"] != "" {
				t.Errorf("%s: %v", f.Name, f.Labels)
			}
		}
	}
	if call := s.Run(t.Context(), runner.StageBuild); call.Err != nil || !call.Output.Has("it runs") {
		t.Error(call)
	}
}

// An administrator's own volume stays, though its name looks like the engine's for a
// volume of an image.
func TestHostileVolumeNamedAtRandom(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(t.TempDir()))
	volume := hex.EncodeToString(sum[:])
	harness.Ask(t, http.MethodPost, "/volumes/create", map[string]any{"Name": volume})
	t.Cleanup(func() { harness.Ask(t, http.MethodDelete, "/volumes/"+volume, nil) })
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[container]\nvolumes = [\"%s:/shared\"]", volume)})
	p.Succeed(t, harness.Job(t, "bookworm", "echo kept >/shared/file"))
	harness.WantLines(t, p.Succeed(t, harness.Job(t, "bookworm", "cat /shared/file")), "kept")
}

// Engines before 27 do not keep networks of IPv6 apart.
func TestHostileIPv6(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[network]\nipv6 = true"})
	version, _ := harness.Ask(t, http.MethodGet, "/version", nil)["ApiVersion"].(string)
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatal(version, err)
	}
	r := p.Runner.Play(harness.Job(t, "bookworm", "true"))
	if apart := minor >= 46; (r.Outcome == runner.Success) != apart || !apart && !strings.Contains(r.Log.String(), "does not keep the IPv6 of different networks apart") {
		t.Error(r)
	}
}
