package imagepull

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gitlab-sysbox-executor/executor/engine"
)

const mb = 1_000_000

// step is a report of the engine after some time.
type step struct {
	after time.Duration
	p     engine.Progress
}

func at(after time.Duration, layer, status string, current, total int64) step {
	return step{after, engine.Progress{Layer: layer, Status: status, Current: current, Total: total}}
}

func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"nothing to download", []step{at(0, "a", "Already exists", 0, 0), at(time.Minute, "latest", "Pulling from x", 0, 0)}, nil},
		{"too fast for more than the last line", []step{
			at(0, "a", "Pulling fs layer", 0, 0), at(0, "a", "Downloading", 10*mb, 200*mb), at(4*time.Second, "a", "Download complete", 0, 0),
		}, []string{"Pulled x: 200MB in 4s"}},
		{"steps of time and of ten percent", []step{
			at(5*time.Second, "a", "Downloading", 10*mb, 100*mb),
			at(time.Second, "a", "Downloading", 30*mb, 100*mb),    // too soon
			at(4*time.Second, "a", "Downloading", 40*mb, 100*mb),  // 30 % more
			at(10*time.Second, "a", "Downloading", 41*mb, 100*mb), // too little
			at(10*time.Second, "a", "Downloading", 42*mb, 100*mb), // late enough
			at(20*time.Second, "a", "Downloading", 42*mb, 100*mb),
			at(time.Second, "a", "Download complete", 0, 0),
			at(4*time.Second, "a", "Extracting", 50*mb, 100*mb),
			at(4*time.Second, "a", "Extracting", 90*mb, 100*mb),
			at(time.Second, "a", "Extracting", 95*mb, 100*mb),
			at(time.Second, "a", "Pull complete", 0, 0),
		}, []string{
			"Pulling x: 10MB of 100MB (10%), 2MB/s, 45s left",
			"Pulling x: 40MB of 100MB (40%), 6MB/s, 10s left",
			"Pulling x: 42MB of 100MB (42%), 100kB/s, 9m40s left",
			"Pulling x: 42MB of 100MB (42%), nothing in the last 20s",
			"Unpacking x: 50MB of 100MB (50%)",
			"Unpacking x: 95MB of 100MB (95%)",
			"Pulled x: 100MB in 1m1s",
		}},
		{"layers whose size is not known yet", []step{
			at(0, "a", "Pulling fs layer", 0, 0), at(0, "b", "Waiting", 0, 0), at(0, "c", "Waiting", 0, 0),
			at(5*time.Second, "a", "Downloading", 25*mb, 100*mb),
			at(0, "b", "Downloading", 0, 100*mb),
			at(5*time.Second, "b", "Downloading", 50*mb, 100*mb),
		}, []string{
			"Pulling x: 25MB of 100MB and 2 more layers, 5MB/s, at least 15s left",
			"Pulling x: 75MB of 200MB and 1 more layer, 10MB/s, at least 13s left",
			"Pulled x: 75MB in 10s",
		}},
		{"a layer broke off", []step{
			at(0, "a", "Downloading", 90*mb, 100*mb),
			at(time.Second, "a", "Retrying in 5 seconds", 0, 0), at(time.Second, "a", "Retrying in 4 seconds", 0, 0),
			at(4*time.Second, "a", "Downloading", 60*mb, 100*mb),
			at(time.Second, "a", "Retrying in 10 seconds", 0, 0),
		}, []string{
			"WARNING: Pulling x: the download of a layer broke off; the engine tries it again",
			"Pulling x: 60MB of 100MB (60%), 10MB/s, 4s left",
			"WARNING: Pulling x: the download of a layer broke off; the engine tries it again",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // with its own clock
				var log bytes.Buffer
				reporter := newReporter(logTo(&log), "x")
				for _, s := range tt.steps {
					time.Sleep(s.after)
					reporter.report(s.p)
				}
				reporter.end()
				var want string
				if tt.want != nil {
					want = strings.Join(tt.want, "\n") + "\n"
				}
				if log.String() != want {
					t.Errorf("got:\n%swant:\n%s", log.String(), want)
				}
			})
		})
	}
}

// A slow pull of one hour writes only a limited number of lines.
func TestProgressIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reporter := newReporter(logTo(&log), "x")
		for n := range int64(36000) {
			time.Sleep(100 * time.Millisecond)
			reporter.report(engine.Progress{Layer: "a", Status: "Downloading", Current: n * 1000, Total: 36000 * 1000})
		}
		if n := strings.Count(log.String(), "\n"); n < 100 || n > 200 {
			t.Errorf("%d lines in an hour", n)
		}
	})
}
