package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/accounting"
)

func TestAddress(t *testing.T) {
	for listen, want := range map[string]string{
		"9253": "127.0.0.1:9253", ":9253": "127.0.0.1:9253", "0.0.0.0:9253": "0.0.0.0:9253", "[::]:9253": "[::]:9253", "localhost:0": "localhost:0", "[::1]:9253": "[::1]:9253",
	} {
		if got, err := address(listen); err != nil || got != want {
			t.Errorf("%s: %q, %v", listen, got, err)
		}
	}
	for _, listen := range []string{"", "a", "localhost", ":", "1.2.3.4", "::1", "a:b", ":70000", "-1", "http://localhost:9253"} {
		if got, err := address(listen); err == nil || !strings.Contains(err.Error(), "127.0.0.1:9253") {
			t.Errorf("%q: %q, %v", listen, got, err)
		}
	}
}

// A scrape that runs when the service is stopped is completed.
func TestServeEndsGracefully(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	ctx, stop := context.WithCancel(t.Context())
	asked, ended := make(chan struct{}), make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(w, "complete")
	})
	go func() { ended <- serveOn(ctx, l, handler, log) }()
	go func() { <-asked; stop() }()
	r, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, err := io.ReadAll(r.Body); err != nil || string(text) != "complete" {
		t.Errorf("%q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTotals(t *testing.T) {
	totalsNow := &accounting.Totals{
		Counters: map[string]float64{"jobs_total|system_failure|engine": 2, "jobs_total|success|": 5, "jobs_total|of an older version": 1, "unknown_total": 1},
		Histograms: map[string]*accounting.Histogram{
			"stage_duration_seconds|prepare": {Bounds: []float64{1, 2}, Counts: []uint64{1, 2, 3}, Sum: 9.5},
		},
	}
	var b bytes.Buffer
	for _, f := range totals(totalsNow) {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	const p = "gitlab_sysbox_executor_"
	want := `# HELP ` + p + `jobs_total Jobs that are over, by result. A failure of the system has a class.
# TYPE ` + p + `jobs_total counter
` + p + `jobs_total{result="success"} 5
` + p + `jobs_total{result="system_failure",class="engine"} 2
# HELP ` + p + `stage_duration_seconds Duration of stages.
# TYPE ` + p + `stage_duration_seconds histogram
` + p + `stage_duration_seconds_bucket{stage="prepare",le="1"} 1
` + p + `stage_duration_seconds_bucket{stage="prepare",le="2"} 3
` + p + `stage_duration_seconds_bucket{stage="prepare",le="+Inf"} 6
` + p + `stage_duration_seconds_sum{stage="prepare"} 9.5
` + p + `stage_duration_seconds_count{stage="prepare"} 6
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
