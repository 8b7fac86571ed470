package agent

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Tools answer at the same time and within a bound; one that fails, says no version or
// does not answer is left out.
func TestVersions(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"runc":      "echo runc version 1.2.1; echo spec: 1.2.0",
		"crun":      "echo crun version 1.14",
		"buildah":   "echo buildah version 1.28.2; exit 1",
		"podman":    "echo no number",
		"dockerd":   "exec sleep 60",
		"buildkitd": "echo $0 $1 $HOME",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	began := time.Now()
	r := VersionsRequest{}.report()
	if want := map[string]string{"runc": "1.2.1", "crun": "1.14"}; r.Error != "" || !maps.Equal(r.Versions, want) {
		t.Errorf("%+v, want %v", r, want)
	}
	if took := time.Since(began); took < VersionTime || took > VersionTime+5*time.Second {
		t.Errorf("it took %s", took)
	}
	if r := (VersionsRequest{User: "nobody-of-that-name"}).report(); r.Error == "" || len(r.Versions) > 0 {
		t.Errorf("as nobody: %+v", r)
	}
}
