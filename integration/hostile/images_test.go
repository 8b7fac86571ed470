package hostile

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// digestOf asks the registry for the digest behind a tag.
func digestOf(t testing.TB, r *registry.Registry, name, tag string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+r.Address+"/v2/"+name+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(registry.User, registry.Password)
	request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	digest := response.Header.Get("Docker-Content-Digest")
	if !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("%s: %s has the digest %q", name, response.Status, digest)
	}
	return digest
}

// An engine pulls NAME:TAG@DIGEST by the digest: a pattern that names a tag must not
// allow an image that was never under it.
func TestHostileDigestBehindAnAllowedTag(t *testing.T) {
	t.Parallel()
	const name = "hostile/ci"
	harness.InRegistry(t, name, 1000)
	r := harness.InRegistry(t, name, 1000)
	approved := digestOf(t, r, name, "latest")
	harness.InRegistry(t, name, 1000) // now the tag is another image's
	ref := r.Address + "/" + name
	auth := runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(r.Address, registry.Password), Raw: true}
	play := func(patterns string) *runner.Result {
		p := harness.NewPlace(t, harness.Settings{Job: "allowed_images = [" + patterns + "]"})
		return p.Runner.Play(harness.With(harness.RegistryJob(t, ref+":latest@"+approved), auth))
	}
	for _, patterns := range []string{
		fmt.Sprintf("%q", ref+":latest"), fmt.Sprintf("%q, %q", ref+":*", ref+"@sha256:"+strings.Repeat("0", 64)), fmt.Sprintf(`"**", "!%s:late*"`, ref),
	} {
		if result := play(patterns); result.Outcome != runner.ScriptFailure || !strings.Contains(result.Log.String(), "is not present on list of allowed images") {
			t.Errorf("%s: %s", patterns, result)
		}
	}
	result := play(fmt.Sprintf("%q", ref+"@"+approved))
	if result.Outcome != runner.Success {
		t.Error(result)
	}
	forgetDigest(t, ref+"@"+approved)
}

// forgetDigest takes an image that has no other name from the engine at the end.
func forgetDigest(t testing.TB, ref string) {
	t.Cleanup(func() {
		if err := harness.World.Engine.RemoveImage(context.Background(), ref); err != nil {
			t.Error(err)
		}
	})
}

// What an image's ID gives, a job has without the registry's leave: neither the whole
// ID nor its beginning does, unless the administrator lets it.
func TestHostileImageIDs(t *testing.T) {
	t.Parallel()
	id, err := harness.World.Engine.ImageID(t.Context(), harness.Image(t, "bookworm"))
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimPrefix(id, "sha256:")
	const never = "allowed_pull_policies = [\"never\", \"always\"]\n"
	for name, c := range map[string]struct{ image, job, says string }{
		"the ID":                   {id, never, "which this runner does not allow (job.allow_image_ids)"},
		"its number":               {number, never, "which this runner does not allow (job.allow_image_ids)"},
		"its beginning":            {number[:12], never + "allow_image_ids = true", "is not on this machine and the pull policy is"},
		"its beginning, by sha256": {id[:19], never, "it begins like an image's ID"},
		"a default of the job's":   {"", never + `image = "$IMAGE"`, "which this runner does not allow (job.allow_image_ids)"},
		"beside patterns":          {id, never + "allow_image_ids = true\nallowed_images = [\"**\"]", "is not present on list of allowed images"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Job: c.job})
			j := harness.With(harness.Job(t, "bookworm", "true"), runner.Var("IMAGE", id))
			j.Image = runner.Image{Name: c.image, PullPolicies: []string{"never"}}
			harness.WantRefusedOnce(t, p, j, c.says)
		})
	}
}

// A job for which the rules exclude root gets no first process that is root's.
func TestHostileSystemdAsRoot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ job, image, service string }{
		"by a variable": {`user = "1000"`, "bookworm", ""},
		"by a command":  {`allowed_users = ["1000"]`, "systemd", ""},
		"by a label":    {`user = "1000"`, "systemd-label", ""},
		"in a service":  {`user = "1000"`, "bookworm", "systemd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Job: c.job})
			j := harness.Job(t, c.image, "true")
			if c.service != "" {
				j.Services = []runner.Image{{Name: harness.Image(t, c.service), Alias: "s", PullPolicies: []string{"if-not-present"}}}
			} else if c.image == "bookworm" {
				j = harness.With(j, runner.Var("EXECUTOR_SYSTEMD", "true"))
			}
			harness.WantRefusedOnce(t, p, j, "systemd as the first process runs as root, which this runner does not allow")
		})
	}
}

// An image sets none of Sysbox's variables, in no container of a job's.
func TestHostileImageEnvironment(t *testing.T) {
	t.Parallel()
	ref := harness.Image(t, "hostile-env")
	p := harness.NewPlace(t, harness.Settings{
		Job:   "environment = [\"SYSBOX_SYSCONT_MODE=TRUE\"]\nallowed_pull_policies = [\"if-not-present\"]\npull_policy = [\"if-not-present\"]",
		Other: fmt.Sprintf("[helper]\nmode = \"container\"\nimage = %q\n\n[images]\ntool_image = %[1]q\n", ref),
	})
	j := harness.Job(t, "hostile-env", "echo \"have $(tr '\\0' '\\n' </proc/1/environ | grep -c ^SYSBOX_) $(env | grep ^SYSBOX_) $OTHER\"")
	j.Services = []runner.Image{{Name: ref, Alias: "s", PullPolicies: []string{"if-not-present"}, Command: []string{"sleep", "1000"}}}
	s := p.Ready(t, j)
	containers, err := harness.World.Engine.Containers(t.Context(), fmt.Sprintf("io.gitlab-sysbox-executor.job=%d", s.Job.ID))
	if err != nil || len(containers) != 3 {
		t.Fatalf("%v, %v", containers, err)
	}
	for _, c := range containers {
		found, err := harness.World.Engine.Inspect(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", found.State.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for place, entries := range map[string][]string{"the engine's": found.Config.Env, "the first process's": strings.Split(string(text), "\x00")} {
			var ours []string
			for _, e := range entries {
				if strings.HasPrefix(e, "SYSBOX_") && strings.Contains(e, "=") {
					ours = append(ours, e)
				}
			}
			if !slices.Equal(ours, []string{"SYSBOX_SYSCONT_MODE=TRUE"}) || !slices.Contains(entries, "OTHER=kept") {
				t.Errorf("%s: %s environment has %q of %q", c.Name, place, ours, entries)
			}
		}
	}
	call := s.Run(t.Context(), runner.StageBuild)
	if call.Err != nil || !call.Output.Has("have 1 SYSBOX_SYSCONT_MODE=TRUE kept") {
		t.Error(call)
	}
	// The container that fills the store of images starts, and then lacks a tool.
	args := append([]string{"images", "pull"}, p.Runner.Driver.ConfigArgs[1:]...)
	out, err := exec.Command(harness.World.Binary, append(args, "127.0.0.1:1/nowhere/at-all:1")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "neither buildah nor podman is in this image") {
		t.Errorf("images pull: %v\n%s", err, out)
	}
}

// A job starts no credential helper of the machine, and none ever sees its variables.
func TestHostileCredentialHelper(t *testing.T) {
	t.Parallel()
	r := harness.InRegistry(t, "hostile/private", 1000)
	ref := r.Address + "/hostile/private:latest"
	harness.ForgetImage(t, ref)
	for name, c := range map[string]struct {
		job, variable, config string
		runs                  bool
	}{
		"by a job":                 {"", fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Address), "", false},
		"by a job, as a store":     {"", `{"credsStore": "test"}`, "", false},
		"by a job that may":        {"credential_helpers = true", fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Address), "", true},
		"by the Runner's own user": {"", "{}", fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Address), true},
	} {
		t.Run(name, func(t *testing.T) {
			p := harness.NewPlace(t, harness.Settings{Job: c.job})
			seen := filepath.Join(p.Dir, "seen")
			p.Home(t, c.config, map[string]string{"docker-credential-test": "env >" + seen + "\n" + harness.CredentialHelper(r.Address)})
			j := harness.With(harness.RegistryJob(t, ref), runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: c.variable, Raw: true}, runner.Var("OTHER_SECRET", "s3cret-of-a-job"))
			result := p.Runner.Play(j)
			environment, err := os.ReadFile(seen)
			if (err == nil) != c.runs || (result.Outcome == runner.Success) != c.runs {
				t.Errorf("%v\n%s", err, result)
			}
			if strings.Contains(string(environment), "s3cret-of-a-job") {
				t.Errorf("the helper has\n%s", environment)
			}
			if said := strings.Contains(result.Log.String(), "(job.credential_helpers)"); said == c.runs {
				t.Errorf("said so: %t\n%s", said, result)
			}
		})
	}
}
