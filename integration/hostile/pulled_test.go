package hostile

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/registry"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// gc removes what jobs pulled and none has used for gc.keep_images: never what was there
// before, what somebody else gave a name, or what a container has.
func TestHostilePulledImages(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[gc]\ninterval = \"0s\"\nkeep_images = \"1ms\""})
	auth := func(r *registry.Registry) runner.Variable {
		return runner.Variable{Key: "DOCKER_AUTH_CONFIG", Value: harness.AuthConfig(r.Address, registry.Password), Raw: true}
	}
	there := func(ref string) bool {
		_, err := harness.World.Engine.ImageID(t.Context(), ref)
		return err == nil
	}
	wantGone := func(ref string, gone bool, says string) {
		t.Helper()
		would := p.GC(t, "--dry-run")
		if !there(ref) {
			t.Fatalf("%s: a dry run has removed it\n%s", ref, would)
		}
		out := p.GC(t)
		if there(ref) == gone {
			t.Errorf("%s: there %v, want gone %v\n%s", ref, there(ref), gone, out)
		}
		for text, action := range map[string]string{would: "would remove", out: "removed"} {
			if line := "  image " + ref; strings.Contains(text, action+line) != gone || !strings.Contains(text, says) || says == "" && strings.Contains(text, ref) {
				t.Errorf("%s, want %q:\n%s", ref, says, text)
			}
		}
	}

	t.Run("a job pulled it", func(t *testing.T) {
		r := harness.InRegistry(t, "pulled/job", 1000)
		ref := r.Address + "/pulled/job:latest"
		s := p.Ready(t, harness.With(harness.RegistryJob(t, ref), auth(r)))
		wantGone(ref, false, "a container uses it")
		harness.WantCleanup(t, s)
		wantGone(ref, true, "(gc.keep_images)")
	})
	t.Run("it was there before", func(t *testing.T) {
		r := harness.InRegistry(t, "pulled/before", 1000)
		ref := r.Address + "/pulled/before:latest"
		if err := harness.World.Engine.Pull(t.Context(), ref, registry.User, registry.Password); err != nil {
			t.Fatal(err)
		}
		harness.ForgetImage(t, ref)
		p.Succeed(t, harness.With(harness.RegistryJob(t, ref), auth(r)))
		wantGone(ref, false, "")
	})
	t.Run("somebody else gave it a name", func(t *testing.T) {
		r := harness.InRegistry(t, "pulled/tagged", 1000)
		ref, other := r.Address+"/pulled/tagged:latest", "gsx-test/somebody-elses:latest"
		p.Succeed(t, harness.With(harness.RegistryJob(t, ref), auth(r)))
		if err := harness.World.Engine.Tag(t.Context(), ref, other); err != nil {
			t.Fatal(err)
		}
		wantGone(ref, false, "it has the name "+other)
		if err := harness.World.Engine.RemoveImage(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		wantGone(ref, true, "(gc.keep_images)")
	})
	t.Run("its tag is another image's now", func(t *testing.T) {
		r := harness.InRegistry(t, "pulled/moved", 1000)
		ref := r.Address + "/pulled/moved:latest"
		p.Succeed(t, harness.With(harness.RegistryJob(t, ref), auth(r)))
		first, err := harness.World.Engine.ImageID(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := harness.World.Engine.Tag(t.Context(), first, "gsx-test/for-now:latest"); err != nil { // InRegistry takes the name away
			t.Fatal(err)
		}
		harness.InRegistry(t, "pulled/moved", 1000)
		s := p.Ready(t, harness.With(harness.RegistryJob(t, ref), auth(r)))
		if err := harness.World.Engine.RemoveImage(t.Context(), "gsx-test/for-now:latest"); err != nil && there(first) {
			t.Fatal(err)
		}
		p.GC(t)
		if there(first) || !there(ref) {
			t.Errorf("the old one is there: %v, the new one: %v", there(first), there(ref))
		}
		harness.WantCleanup(t, s)
		wantGone(ref, true, "(gc.keep_images)")
	})
}

// A job for which there is no room is refused with the figures before it pulls.
func TestHostileNoPullWithoutRoom(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nmin_free = \"4PiB\""})
	s := p.Session(t, harness.RegistryJob(t, "127.0.0.1:1/no/registry:latest"))
	call := s.Prepare(t.Context())
	if text := call.Output.String(); call.Exit != 2 || !strings.Contains(text, "is less than min_free 4PiB") || strings.Contains(text, "Pulling") {
		t.Error(call)
	}
	harness.WantCleanup(t, s)
}
