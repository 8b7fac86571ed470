package kubernetes

import (
	"encoding/json"
	"log"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab-sysbox-executor/executor/agent"
)

// With the configurations of the images a pod does what a container of a Docker Engine does: entrypoint, systemd, ports.
func TestImagesOfARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(t.Output(), "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for path, c := range map[string]v1.Config{
		"entry":   {Entrypoint: []string{"/start", "$(x)"}},
		"systemd": {Cmd: []string{"/sbin/init"}},
		"db":      {ExposedPorts: map[string]struct{}{"5432/tcp": {}}},
	} {
		ref, err := name.ParseReference(host + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		i, err := mutate.Config(empty.Image, c)
		if err == nil {
			err = remote.Write(ref, i)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, _ := inMemory(t)
	p := withServices()
	p.Image.Reference, p.Services[0].Image.Reference, p.Services[1].Image.Reference = host+"/entry", host+"/db", host+"/absent"
	p.Services[0].Environment = nil
	if k, err := b.learn(t.Context(), p); err != nil || k.images != nil {
		t.Errorf("unasked: %+v, %v", k, err)
	}
	b.Config.ReadImages = true
	k, err := b.learn(t.Context(), p)
	if err != nil || len(k.images) != 3 {
		t.Fatalf("%+v, %v", k, err)
	}
	pod, err := b.pod(p, k)
	if err != nil {
		t.Fatal(err)
	}
	first := func() (r agent.InitRequest) {
		command := containerOf(pod, jobContainer).Command
		if err := json.Unmarshal([]byte(strings.ReplaceAll(command[len(command)-1], "$$", "$")), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got := first().Entrypoint; !slices.Equal(got, []string{"/start", "$(x)"}) {
		t.Errorf("%q", got)
	}
	running, err := services(p, k)
	if err != nil || !slices.Equal(running[0].Ports, []int{5432}) || len(running[1].Ports) > 0 {
		t.Errorf("%+v, %v", running, err)
	}
	p.Image.Reference = host + "/systemd"
	if k, err = b.learn(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if pod, err = b.pod(p, k); err != nil || !systemdRuns(containerOf(pod, jobContainer)) {
		t.Errorf("%+v, %v", containerOf(pod, jobContainer), err)
	}
	p.Entrypoint = []string{""}
	if pod, err = b.pod(p, k); err != nil || systemdRuns(containerOf(pod, jobContainer)) {
		t.Errorf("an entrypoint instead: %+v, %v", containerOf(pod, jobContainer), err)
	}
}
