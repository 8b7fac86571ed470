package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	path := filepath.Join(t.TempDir(), "config.toml")
	err := os.WriteFile(path, []byte(`
log_level = "debug"
[job]
image = "debian:12"
environment = ["LANG=C.UTF-8"]
[resources]
memory = "2g"
[run]
kill_grace = "90s"
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.LogLevel = "debug"
	want.Job.Image = "debian:12"
	want.Job.Environment = []string{"LANG=C.UTF-8"}
	want.Resources.Memory = 2 << 30
	want.Run.KillGrace = Duration(90 * time.Second)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestLoadMissing(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	path := filepath.Join(t.TempDir(), "none.toml")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a named file that is missing: got %v", err)
	}
	cfg, err := loadIfThere(path)
	if err != nil || !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("the default file is missing: got %+v, %v", cfg, err)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	for name, load := range map[string]func(string) (*Config, error){"named": Load, "default": loadIfThere} {
		if _, err := load(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: a folder was read: %v", name, err)
		}
	}
}

func TestErrorsNameTheFileThatWasGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("log_level = 1\njob.imgae = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + ":1: log_level: found a whole number; write a string in quotes\n" +
		path + ":2: unknown key job.imgae; did you mean job.image?"
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
