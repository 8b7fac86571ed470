package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const exampleFile = "../config.example.toml"

// commentedKey is a key that only waits for its "#" to be removed. Prose has a
// space behind the "#".
var commentedKey = regexp.MustCompile(`(?m)^#([a-z])`)

func readExample(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestExampleAsItIsMeansTheDefaults(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	cfg, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("got %+v\nwant %+v", cfg, Default())
	}
}

func TestExampleHoldsEveryKeyWithItsDefault(t *testing.T) {
	data := commentedKey.ReplaceAllString(readExample(t), "$1")
	// Read over nothing, so that what the example lacks cannot come from the defaults.
	cfg, k := new(Config), newChecker(exampleFile)
	decode(data, cfg, k)
	if err := k.err(); err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[Config]()) {
		if _, found := k.lines[key]; !found {
			t.Errorf("%s is not in the example", key)
		}
	}
	if !reflect.DeepEqual(cfg, Default()) {
		t.Errorf("a default differs: the example says %+v\nthe code %+v", cfg, Default())
	}
}

func TestExampleExplainsEveryKey(t *testing.T) {
	lines := strings.Split(readExample(t), "\n")
	for i, line := range lines {
		isKey, isTable := commentedKey.MatchString(line), strings.HasPrefix(line, "[")
		if (isKey || isTable) && (i == 0 || !strings.HasPrefix(lines[i-1], "# ")) {
			t.Errorf("%s:%d: no comment above %s", exampleFile, i+1, line)
		}
	}
}
