package admin

import (
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/storage"
)

func TestWholeNames(t *testing.T) {
	for _, c := range []struct {
		name, want, fault string
	}{
		{"debian:12", "docker.io/library/debian:12", ""},
		{"registry.example:5000/a/b", "registry.example:5000/a/b:latest", ""},
		{"debian@sha256:" + strings.Repeat("a", 64), "docker.io/library/debian@sha256:" + strings.Repeat("a", 64), ""},
		{"Debian", "", `image "Debian": `},
		{"a; rm -rf /", "", "invalid reference format"},
		{"--help", "", "invalid reference format"},
		{"", "", "invalid reference format"},
		{strings.Repeat("a", 64), "", "ID"},
	} {
		got, err := wholeNames([]string{c.name, c.name}, "")
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q: %v %v", c.name, got, err)
			}
		} else if err != nil || !slices.Equal(got, []string{c.want}) {
			t.Errorf("%q: %v %v", c.name, got, err)
		}
	}
	if _, err := wholeNames([]string{"?"}, "images.references: "); err == nil || !strings.HasPrefix(err.Error(), "images.references: ") {
		t.Error(err)
	}
}

func TestPrintImages(t *testing.T) {
	l := shared.Listing{
		Images: []storage.StoredImage{{Reference: "docker.io/library/debian:12", ID: "i", Digest: "sha256:d", Size: 3 << 20}},
		Generations: []shared.GenerationUse{
			{Number: 1, Volume: "v-1", Jobs: []string{"gsx-a", "gsx-b"}}, {Number: 2, Volume: "v-2", Current: true, Jobs: []string{}},
		},
	}
	var b strings.Builder
	if err := printImages(l, false, &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"docker.io/library/debian:12  sha256:d  3MiB", "1            v-1     gsx-a gsx-b", "2 (current)  v-2"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := printImages(l, true, &b); err != nil || !strings.Contains(b.String(), `"jobs": []`) {
		t.Errorf("%v\n%s", err, b.String())
	}
}
