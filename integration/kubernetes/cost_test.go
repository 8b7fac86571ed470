package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkJob measures what a job costs beside a bare pod of the same image and runtime, in the same run: from its
// creation until a process can start in it, and its removal. It reports the medians.
func BenchmarkJob(b *testing.B) {
	p := newPlace(b)
	var begin, end, bareBegin, bareEnd []time.Duration
	for b.Loop() {
		made, gone := bare(b)
		bareBegin, bareEnd = append(bareBegin, made), append(bareEnd, gone)
		s := p.open(b, job("true"))
		prepare := s.Prepare(b.Context())
		if prepare.Err != nil {
			b.Fatal(prepare)
		}
		cleanup := s.Cleanup()
		if cleanup.Err != nil {
			b.Fatal(cleanup)
		}
		begin, end = append(begin, prepare.Duration), append(end, cleanup.Duration)
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return all[len(all)/2].Seconds()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bareBegin), "bare-begin-s")
	b.ReportMetric(median(begin), "begin-s")
	b.ReportMetric(median(bareEnd), "bare-end-s")
	b.ReportMetric(median(end), "end-s")
}

// bare makes and removes a pod with one container, and returns how long each took.
func bare(b *testing.B) (begin, end time.Duration) {
	b.Helper()
	send(b, "POST", jobs("pods"), fmt.Sprintf(`{"metadata": {"name": "bare"}, "spec": {"hostUsers": false, "runtimeClassName": %q, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
		"containers": [{"name": "bare", "image": %q, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}]}}`, world.env["RUNTIME_CLASS"], buildahImage))
	began := time.Now()
	for {
		var p corev1.Pod
		get(b, jobs("pods/bare"), &p)
		if p.Status.Phase == corev1.PodRunning {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	begin, began = time.Since(began), time.Now()
	send(b, "DELETE", jobs("pods/bare"), "")
	for slices.ContainsFunc(objects(b), func(o string) bool { return strings.HasPrefix(o, "pods ") }) {
		time.Sleep(5 * time.Millisecond)
	}
	return begin, time.Since(began)
}
