package sharedfill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/statedir"
)

const (
	debian = "docker.io/library/debian:12"
	ubuntu = "docker.io/library/ubuntu:24.04"
)

// fake is an engine whose fill containers pull images as script defines.
type fake struct {
	dir        statedir.Dir
	volumes    []string
	containers []engine.Found
	made       engine.Container // the last one
	refused    error            // error when a container is made
	ran        []string         // the arguments of the scripts
	// script is run in a fill container: it returns its output and exit code.
	script func(words string) (string, int)
}

func (f *fake) FindVolumes(_ context.Context, label, value string) (all []engine.Found, _ error) {
	for _, v := range f.volumes {
		all = append(all, engine.Found{Name: v, Labels: map[string]string{label: value}})
	}
	return all, nil
}

func (f *fake) VolumeUsers(context.Context, string) ([]engine.Found, error) { return nil, nil }

func (f *fake) FindContainers(context.Context, string, string) ([]engine.Found, error) {
	return f.containers, nil
}

func (f *fake) RemoveContainer(_ context.Context, id string) error {
	f.containers = slices.DeleteFunc(f.containers, func(c engine.Found) bool { return c.ID == id })
	return nil
}

func (f *fake) InspectImage(context.Context, string, string) (engine.Image, error) {
	return engine.Image{ID: "sha256:tool"}, nil
}

func (f *fake) Pull(context.Context, string, string, image.Credentials, func(engine.Progress)) error {
	return errors.New("the image is there")
}

func (f *fake) CreateVolume(_ context.Context, name string, _, _ map[string]string) error {
	f.volumes = append(f.volumes, name)
	return nil
}

func (f *fake) CreateContainer(_ context.Context, c engine.Container) (string, error) {
	f.made = c
	if f.refused != nil {
		return "", f.refused
	}
	f.containers = append(f.containers, engine.Found{ID: "id of " + c.Name, Name: c.Name, Labels: c.Labels})
	return "id of " + c.Name, nil
}

func (f *fake) StartContainer(context.Context, string) error { return nil }

func (f *fake) ExplainRuntime(_ context.Context, runtime string, err error) error {
	return errors.Join(errors.New("with runtime "+runtime), err)
}

// RemoveHeld implements shared.Kept.
func (f *fake) RemoveHeld(_ context.Context, volume string) (bool, error) {
	f.volumes = slices.DeleteFunc(f.volumes, func(v string) bool { return v == volume })
	return true, os.Remove(f.dir.Kept(volume))
}

func (f *fake) inside(id string, _ owner.Process, name string) agentclient.Container {
	return agentclient.Container{Name: name, Exec: func(context.Context, []string) (agentclient.Stream, error) {
		if !slices.ContainsFunc(f.containers, func(c engine.Found) bool { return c.ID == id }) {
			return nil, errors.New("no container " + id)
		}
		in, out := io.Pipe()
		return &stream{f, in, out}, nil
	}}
}

// stream is an agent that runs scripts.
type stream struct {
	fake *fake
	in   *io.PipeReader
	*io.PipeWriter
}

func (s *stream) Copy(stdout, stderr io.Writer) error {
	in := bufio.NewReader(s.in)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o agent.ExecRequest
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	script := make([]byte, o.Length)
	if _, err := io.ReadFull(in, script); err != nil {
		return err
	}
	// The third line has the arguments. The script's own first line identifies it.
	words := strings.TrimPrefix(strings.SplitN(string(script), "\n", 4)[2], "set -- ")
	switch {
	case strings.Contains(string(script), "pull --quiet"):
		words = "pull " + words
	case strings.Contains(string(script), "rmi --force"):
		words = "remove " + words
	case strings.Contains(string(script), listScript):
		words = "list " + words
	default:
		words = "other " + words
	}
	s.fake.ran = append(s.fake.ran, words)
	text, code := s.fake.script(words)
	_, _ = io.WriteString(stdout, text)
	return json.NewEncoder(stderr).Encode(agent.Outcome{Nonce: o.Nonce, Code: code})
}

func (s *stream) Finish() {}

func (s *stream) Ended(context.Context) (bool, int, error) { return true, 0, nil }

func (s *stream) Close() { _ = s.in.Close() } // never fails

// stores answers as a store with these images does. Pulls from other registries fail.
func stores(references ...string) func(string) (string, int) {
	return func(words string) (string, int) {
		switch {
		case words == "list vfs images":
			type entry struct {
				ID, Digest, Layer string
				Names             []string
			}
			var all []entry
			for _, r := range references {
				all = append(all, entry{"id of " + r, "sha256:" + r, "layer", []string{r}})
			}
			text, _ := json.Marshal(all) // never fails
			return string(text), 0
		case strings.HasPrefix(words, "list "):
			return `[{"id": "layer", "diff-size": 5}]`, 0
		case strings.HasPrefix(words, "pull ") && !slices.ContainsFunc(references, func(r string) bool { return strings.Contains(words, " "+r+" ") }):
			return "no such image\n", 7
		}
		return "", 0
	}
}

func testFiller(t *testing.T, f *fake) (*Filler, *logtest.Hook) {
	t.Helper()
	log, said := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	dir := statedir.Dir(t.TempDir())
	for _, dir := range []string{dir.Images(), filepath.Dir(dir.Kept("x"))} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.dir = dir
	return &Filler{
		Shared: &shared.Store{State: dir, Engine: f, Host: "unix:///x", Kept: f, Log: log},
		Engine: f, Inside: f.inside, KillGrace: time.Second, CleanupTimeout: time.Minute, Log: log,
	}, said
}

// how fills the store for root with vfs.
func how() Fill {
	return Fill{
		Image:   image.Request{Reference: "tools/buildah", Policies: []image.Policy{image.IfNotPresent}},
		Runtime: "sysbox-runc", Drivers: []string{"vfs"}, Users: []int{0}, Out: io.Discard,
	}
}
