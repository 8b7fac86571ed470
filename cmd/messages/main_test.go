package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The page in docs is the one that the code gives, and its links lead somewhere.
func TestPageIsUpToDate(t *testing.T) {
	want, err := page("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil || string(got) != want {
		t.Errorf("docs/troubleshooting.md is not up to date: run make messages (%v)", err)
	}
	for _, link := range regexp.MustCompile(`\]\(([a-z/-]+\.md)\)`).FindAllStringSubmatch(want, -1) {
		if _, err := os.Stat(filepath.Join("../../docs", link[1])); err != nil {
			t.Error(err)
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(`<a id="([^"]*)">`).FindAllStringSubmatch(want, -1) {
		if ids[id[1]] || id[1] == "" {
			t.Errorf("two messages have the anchor %q", id[1])
		}
		ids[id[1]] = true
	}
	if len(ids) < 100 {
		t.Errorf("only %d messages were found", len(ids))
	}
}
