package main

import (
	"os"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
)

// The page in docs is the one that the code and the example give.
func TestReferenceIsUpToDate(t *testing.T) {
	example, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := reference(string(example), config.Keys())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/configuration.md")
	if err != nil || string(got) != want {
		t.Errorf("docs/configuration.md is not up to date: run make configuration (%v)", err)
	}
	for _, key := range config.Keys() {
		if key.Type != "section" && !strings.Contains(want, "### `"+key.Name+"`") {
			t.Errorf("no %s", key.Name)
		}
	}
}

func TestReferenceWantsEachKey(t *testing.T) {
	if _, err := reference("# x\n#a = 1\n", []config.Key{{Name: "a", Type: "number"}, {Name: "b", Type: "number"}}); err == nil || !strings.Contains(err.Error(), "lacks b") {
		t.Error(err)
	}
	if _, err := reference("# x\n#c = 1\n", nil); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Error(err)
	}
}
