package engine

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/client"
)

// An image's labels and a registry's messages are as long as their authors like.
func TestHostileImages(t *testing.T) {
	labels := func(length int) string {
		return `{"Id":"sha256:1","Config":{"Labels":{"x":"` + strings.Repeat("y", length) + `"}}}`
	}
	img, err := answering(t, "1.41", labels(900_000)).InspectImage(t.Context(), "x", "linux/amd64")
	if err != nil || len(img.Labels["x"]) != 900_000 || img.Length < 900_000 {
		t.Errorf("%d %v", img.Length, err)
	}
	for name, answer := range map[string]string{"a long label": labels(2_000_000), "many labels": `{"Config":{"Labels":{` + strings.Repeat(`"x":"y",`, 200_000) + `"z":""}}}`} {
		if _, err := answering(t, "1.41", answer).InspectImage(t.Context(), "x", ""); !IsTooLarge(err) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestHostilePull(t *testing.T) {
	reports := 0
	pull := func(answer string) error {
		return answering(t, "1.41", answer).Pull(t.Context(), "x", "", Credentials{}, func(Progress) { reports++ })
	}
	if err := pull(strings.Repeat(`{"status":"Downloading","id":"a"}`+"\r\n", 100_000)); err != nil || reports != 100_000 {
		t.Errorf("%d reports, %v", reports, err)
	}
	if err := pull(`{"status":"` + strings.Repeat("x", 3<<20) + `"}`); !IsTooLarge(err) {
		t.Errorf("%.200v", err)
	}
}

// TLS goes on behind such a transport.
func TestBoundedOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ID":"it"}`) }))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := newBounded(1000, []client.Opt{
		client.WithHost("tcp://" + server.Listener.Addr().String()), client.WithTLSClientConfig(ca, "", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if i, err := c.Info(t.Context()); err != nil || i.ID != "it" {
		t.Error(i.ID, err)
	}
}
