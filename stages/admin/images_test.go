package admin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/stages/app"
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

// What is in the store is known only once no other command changes it: what removes or
// refreshes images looks then, and not before.
func TestImagesLookUnderTheLock(t *testing.T) {
	const debian, ubuntu = "docker.io/library/debian:12", "docker.io/library/ubuntu:24.04"
	goesOn := "images.tool_image" // there is none to fill the store with
	for _, c := range []struct {
		name          string
		args          []string
		before, after []string
		said, fault   string
	}{
		{"removed by another", []string{"remove", debian}, []string{debian, ubuntu}, []string{ubuntu}, "", "image " + debian + " is not in the store, which has: " + ubuntu},
		{"pulled by another", []string{"remove", debian}, []string{ubuntu}, []string{debian, ubuntu}, "", goesOn},
		{"filled by another", []string{"refresh"}, nil, []string{debian}, "", goesOn},
		{"emptied by another", []string{"refresh"}, []string{debian}, nil, "There is nothing to refresh", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &shared.Store{State: statedir.Dir(t.TempDir())}
			set := func(references []string) {
				t.Helper()
				g := shared.Generation{Number: 1, Volume: "gsx-images-" + s.ID() + "-1"}
				for _, r := range references {
					g.Images = append(g.Images, storage.StoredImage{Reference: r})
				}
				if err := s.SetCurrent(g); err != nil {
					t.Fatal(err)
				}
			}
			unlock, ok, err := s.State.TryLockImages()
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			set(c.before)
			file := filepath.Join(string(s.State), "config.toml")
			text := fmt.Sprintf("state_dir = %q\n[engine]\nhost = \"unix://%s/none\"\n", s.State, s.State)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			waits := make(chan struct{})
			command := imagesCommand(&app.App{ConfigPath: file})
			command.SetArgs(c.args)
			command.SetErr(writerFunc(func(p []byte) (int, error) {
				if strings.Contains(string(p), "waiting for it to end") {
					close(waits)
				}
				return said.Write(p)
			}))
			command.SilenceErrors, command.SilenceUsage = true, true
			ended := make(chan error, 1)
			go func() { ended <- command.ExecuteContext(t.Context()) }()
			select {
			case <-waits:
			case err := <-ended:
				t.Fatalf("it did not wait: %v\n%s", err, said.String())
			case <-time.After(10 * time.Second):
				t.Fatal("it neither waits nor ends")
			}
			set(c.after)
			unlock()
			err = <-ended
			if (c.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fault) || !strings.Contains(said.String(), c.said) {
				t.Errorf("%v\n%s", err, said.String())
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
