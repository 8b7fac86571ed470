package integration

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/engine"
	"gitlab-sysbox-executor/integration/leftovers"
)

// mortal is an engine of a test's own, to be killed.
type mortal struct {
	dir   string
	host  string
	flags string // further ones of the engine's
}

func newMortal(t *testing.T, flags string) *mortal {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gsx-e")
	if err != nil {
		t.Fatal(err)
	}
	return newMortalAt(t, dir, flags)
}

// newMortalAt is one with all that it has in the folder dir, which goes with it.
func newMortalAt(t *testing.T, dir, flags string) *mortal {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e := &mortal{dir, "unix://" + filepath.Join(dir, "docker.sock"), flags}
	t.Cleanup(func() {
		if _, err := command(2*time.Minute, e.script(), "stop", dir); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e.start(t)
	if _, err := command(15*time.Minute, filepath.Join(world.repo, "scripts", "image.sh"), "bookworm", e.host); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *mortal) script() string { return filepath.Join(world.repo, "scripts", "engine.sh") }

// start starts the engine. One that was killed while it made a network may have it
// half in its store and panic at every start from then on (moby/moby issue 45057);
// what its administrator then does is to remove that store.
func (e *mortal) start(t *testing.T) {
	t.Helper()
	_, err := command(5*time.Minute, "env", "ENGINE_FLAGS="+e.flags, e.script(), "start", e.dir)
	if err != nil && strings.Contains(err.Error(), "libnetwork.(*controller).reservePools") {
		t.Log("the killed engine panics over its store of networks: started again without it")
		var stores []string
		for _, data := range []string{"data", "data/*.*"} { // below a folder of its own with remapped users
			found, err := filepath.Glob(filepath.Join(e.dir, data, "network/files/local-kv.db"))
			if err != nil {
				t.Fatal(err)
			}
			stores = append(stores, found...)
		}
		for _, store := range stores {
			if err := os.Remove(store); err != nil {
				t.Fatal(err)
			}
		}
		_, err = command(5*time.Minute, "env", "ENGINE_FLAGS="+e.flags, e.script(), "start", e.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// restart kills the engine and starts it again.
func (e *mortal) restart(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(e.dir, "dockerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	e.start(t)
}

// snapshot is what there is on the engine and of the place's, without the engine's own.
func (e *mortal) snapshot(t *testing.T, p *place) leftovers.Snapshot {
	t.Helper()
	found, err := leftovers.Scope{Engine: engine.At(e.host), EngineDir: e.dir, StateDirs: []string{p.stateDir}, Driver: world.binary, Owns: &leftovers.Owner{Dir: p.dir}}.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(found, func(thing string, _ bool) bool { return ofKilledEngine(thing) })
	return found
}

// ofKilledEngine tells what is the engine's own once it was killed: networks that
// have other numbers then, and the layer that Engine 20.10 mounts for a moment
// while it makes a container, and forgets (initMount in its layer store). The
// engine alone knows whose that is; a reboot ends it.
func ofKilledEngine(thing string) bool {
	for _, prefix := range []string{"network bridge ", "network host ", "network none "} {
		if strings.HasPrefix(thing, prefix) {
			return true
		}
	}
	return strings.HasPrefix(thing, "mount ") && strings.Contains(thing, "-init/merged (overlay ")
}
