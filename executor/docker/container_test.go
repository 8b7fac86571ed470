package docker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
)

// A volume that the job's container had counts as used until the end of the job.
func TestExamineIsAUse(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/containers/0123/json") {
			fmt.Fprint(w, `{"Mounts": [{"Type": "volume", "Name": "a"}, {"Type": "bind", "Name": "b"}, {"Type": "volume", "Name": "c"}]}`)
		}
	})}}
	server.Start()
	t.Cleanup(server.Close)
	e, err := engine.New("unix://"+l.Addr().String(), time.Minute, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	log := logrus.New()
	log.SetOutput(io.Discard)
	dir := statedir.Dir(t.TempDir())
	past := time.Now().Add(-time.Hour)
	for _, v := range []string{"a", "b", "c"} {
		hold, err := dir.Hold(v, true)
		if err != nil {
			t.Fatal(err)
		}
		hold.Release()
		if err := os.Chtimes(dir.Kept(v), past, past); err != nil {
			t.Fatal(err)
		}
	}
	b := &Backend{Engine: e, Kept: &kept.Store{State: dir, Log: log}, Log: log}
	j, _, err := journal.Open(t.TempDir(), "gsx-0123abcd-p1-j1")
	if err != nil {
		t.Fatal(err)
	}
	b.Kinds()[0].Examine(t.Context(), &removal.Resource{ID: "0123"}, j)
	for v, used := range map[string]bool{"a": true, "b": false, "c": true} {
		info, err := os.Stat(dir.Kept(v))
		if err != nil || info.ModTime().After(past.Add(time.Minute)) != used {
			t.Errorf("%s is used: %t, %v", v, !used, err)
		}
	}
}
