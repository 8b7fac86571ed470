package config

import (
	"reflect"
	"slices"
	"testing"
)

func TestKeysOf(t *testing.T) {
	type inner struct {
		C string `toml:"c"`
	}
	type outer struct {
		A string   `toml:"a"`
		B inner    `toml:"b"`
		D Duration `toml:"d"`
		E Amount   `toml:"e"`
	}
	if got, want := keysOf(reflect.TypeFor[outer]()), []string{"a", "b", "b.c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"runtime", "job", "job.image", "job.user", "run", "run.kill_grace", "storage.tmpdir"}
	for key, want := range map[string]string{
		"job.imgae":       "job.image",
		"job.users":       "job.user",
		"jobs":            "job",
		"Runtime":         "runtime",
		"run.killgrace":   "run.kill_grace",
		"kill_grace":      "run.kill_grace",
		"killgrace":       "run.kill_grace",
		"job.tmpdir":      "storage.tmpdir",
		"x":               "",
		"job.shape":       "",
		"something.other": "",
	} {
		if got := nearest(key, known); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}
