package harness

import (
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// images are made once each, by whoever wants one first.
var images struct {
	sync.Mutex
	once map[string]func() error
}

// Image makes a test image in the private engine and returns its reference.
func Image(t testing.TB, name string) string {
	t.Helper()
	images.Lock()
	if images.once == nil {
		images.once = map[string]func() error{}
	}
	if images.once[name] == nil {
		images.once[name] = sync.OnceValue(func() error {
			_, err := Command(15*time.Minute, filepath.Join(World.Repo, "scripts", "image.sh"), name, World.Engine.Host)
			return err
		})
	}
	build := images.once[name]
	images.Unlock()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return "gsx-test/" + name + ":latest"
}
