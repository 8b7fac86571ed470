package engine

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/image"

	"github.com/docker/docker/client"
)

// The authors of an image's labels and of a registry's messages choose their size.
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
		return answering(t, "1.41", answer).Pull(t.Context(), "x", "", image.Credentials{}, func(Progress) { reports++ })
	}
	if err := pull(strings.Repeat(`{"status":"Downloading","id":"a"}`+"\r\n", 100_000)); err != nil || reports != 100_000 {
		t.Errorf("%d reports, %v", reports, err)
	}
	if err := pull(`{"status":"` + strings.Repeat("x", 3<<20) + `"}`); !IsTooLarge(err) {
		t.Errorf("%.200v", err)
	}
}

// A list of containers contains all labels of their images. Several processes of ours
// read such lists.
func TestHostileLabelsInLists(t *testing.T) {
	one := `{"Id":"id","Names":["/name"],"Image":"x","Created":7,"Labels":{"x":"` + strings.Repeat("y", 900_000) + `","io.gitlab-sysbox-executor.name":"gsx-7"},"State":"running"}`
	found, err := answering(t, "1.41", "["+one+","+one+"]").FindContainers(t.Context(), LabelPrefix+"name", "")
	want := Found{ID: "id", Name: "name", Made: time.Unix(7, 0), Labels: map[string]string{LabelPrefix + "name": "gsx-7"}}
	if err != nil || !reflect.DeepEqual(found, []Found{want, want}) {
		t.Errorf("%+v %v", found, err)
	}
	// This is the size for ten jobs with some services: 135 MB.
	const many = 150
	parts := []io.Reader{strings.NewReader("[" + one)}
	for range many - 1 {
		parts = append(parts, strings.NewReader(","), strings.NewReader(one))
	}
	var out heapWriter
	if err := slim(io.MultiReader(append(parts, strings.NewReader("]"))...), &out); err != nil || out.written < 50*many || out.most > 48<<20 {
		t.Errorf("%v; %d bytes of heap were in use", err, out.most)
	}
	// An image may have labels with our prefix. Our own labels are short.
	foreign := strings.Replace(one, `"Labels":{`, `"Labels":{"`+LabelPrefix+`x":"`+strings.Repeat("y", 900_000)+`",`, 1)
	found, err = answering(t, "1.41", "["+foreign+"]").FindContainers(t.Context(), LabelPrefix+"name", "")
	if err != nil || !reflect.DeepEqual(found, []Found{want}) {
		t.Errorf("%.200s %v", fmt.Sprint(found), err)
	}
	for answer, want := range map[string]int{"[]": 0, "[]\n": 0, `[{"Id":"a"}]`: 1, `[{"Id":"a"},{"Id":"b","Names":null,"Labels":null}]`: 2} {
		if found, err := answering(t, "1.41", answer).FindContainers(t.Context(), "x", ""); err != nil || len(found) != want {
			t.Errorf("%s: %v %v", answer, found, err)
		}
	}
	for _, answer := range []string{"", "[", `[{"Id":"a"}`, `[{"Id":"a"},`, `[{"Id":`, "{}", "null", "x"} {
		if found, err := answering(t, "1.41", answer).FindContainers(t.Context(), "x", ""); err == nil || answer != "{}" && answer != "null" && !IsUnreachable(err) {
			t.Errorf("%s: %v %v", answer, found, err)
		}
	}
	if _, err := answering(t, "1.41", `[{"Id":"`+strings.Repeat("x", 5<<20)+`"}]`).FindContainers(t.Context(), "x", ""); !IsTooLarge(err) {
		t.Errorf("%.200v", err)
	}
}

// heapWriter records the heap in use at each write.
type heapWriter struct {
	written int
	most    uint64
}

func (w *heapWriter) Write(p []byte) (int, error) {
	if w.written += len(p); w.written%10 == 0 { // at some writes only
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most = max(w.most, m.HeapInuse)
	}
	return len(p), nil
}

// TLS works through such a transport.
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
