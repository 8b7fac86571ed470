package harness

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/engine"
	"gitlab-sysbox-executor/integration/harness/leftovers"
)

// OwnEngine is an engine of a test's own, to be killed.
type OwnEngine struct {
	dir   string
	Host  string
	flags string // further ones of the engine's
}

// NewOwnEngine starts one with further flags of the engine's, until the test's end.
func NewOwnEngine(t *testing.T, flags string) *OwnEngine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gsx-e")
	if err != nil {
		t.Fatal(err)
	}
	return NewOwnEngineAt(t, dir, flags)
}

// NewOwnEngineAt starts one with all that it has in the folder dir, which goes with it.
func NewOwnEngineAt(t *testing.T, dir, flags string) *OwnEngine {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e := &OwnEngine{dir, "unix://" + filepath.Join(dir, "docker.sock"), flags}
	t.Cleanup(func() {
		if _, err := Command(2*time.Minute, engineScript(), "stop", dir); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e.start(t)
	if _, err := Command(15*time.Minute, filepath.Join(World.Repo, "scripts", "image.sh"), "bookworm", e.Host); err != nil {
		t.Fatal(err)
	}
	return e
}

// start starts the engine. One that was killed while it made a network may have it
// half in its store and panic at every start from then on (moby/moby issue 45057);
// what its administrator then does is to remove that store.
func (e *OwnEngine) start(t *testing.T) {
	t.Helper()
	_, err := Command(5*time.Minute, "env", "ENGINE_FLAGS="+e.flags, engineScript(), "start", e.dir)
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
		_, err = Command(5*time.Minute, "env", "ENGINE_FLAGS="+e.flags, engineScript(), "start", e.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Restart kills the engine and starts it again.
func (e *OwnEngine) Restart(t *testing.T) {
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

// Snapshot is what there is on the engine and of the place's, without the engine's own.
func (e *OwnEngine) Snapshot(t *testing.T, p *Place) leftovers.Snapshot {
	t.Helper()
	found, err := leftovers.Scope{Engine: engine.At(e.Host), EngineDir: e.dir, StateDirs: []string{p.StateDir}, Driver: World.Binary, Owns: &leftovers.Owner{Dir: p.Dir}}.Take(t.Context())
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
