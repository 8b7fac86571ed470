package executor

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
)

// A name becomes a path, and what it is the name of is removed.
func TestHostileNames(t *testing.T) {
	good := Identity{Server: "gitlab.example.com", ProjectID: 1, JobID: 9223372036854775807}.Name()
	for name, valid := range map[string]bool{
		good: true, "gsx-0123abcd-p0-j7": true,
		"": false, "gsx-": false, "gsx-x": false, "gsx-\x1b]0;owned\a": false, "gsx-0123abcd-p1-j2\n": false, "gsx-0123ABCD-p1-j2": false,
		"gsx-0123abcd-p-1-j2": false, "gsx-0123abcd-p1-j2-helper": false, "gsx-0123abcd-p1-j2/..": false, "../gsx-0123abcd-p1-j2": false,
		"gsx-0123abcd-p1-j" + strings.Repeat("9", 300): false,
	} {
		if job.ValidName(name) != valid {
			t.Errorf("%q: %t", name, !valid)
		}
	}
	for thing, ours := range map[string]bool{
		good: true, good + "-helper": true, good + "-s0": true, good + "-shared-3": true,
		good + "9": false, "web": false, "": false, "x" + good: false, good[:len(good)-1]: false,
	} {
		if got := belongs(engine.Found{Name: thing, Labels: map[string]string{job.LabelName: good}}, good); got != ours {
			t.Errorf("%q: %t", thing, got)
		}
	}
	if belongs(engine.Found{Name: good}, good) || belongs(engine.Found{Name: good, Labels: map[string]string{job.LabelName: "gsx-1"}}, good) {
		t.Error("without the label")
	}
}

// What an image's labels say never counts for a container of ours.
func TestHostileLabelsOfAnImageDoNotCount(t *testing.T) {
	image := map[string]string{job.LabelImages: "01234567", job.LabelKept: "builds", job.LabelName: "gsx-0123abcd-p1-j2", job.LabelState: "1-2", job.LabelOwner: "1/1////1", "com.example.other": "x"}
	ours := job.ContainerLabels(map[string]string{job.LabelRole: "build", job.LabelName: "gsx-0123abcd-p3-j4"})
	merged := maps.Clone(image) // as the engine does
	maps.Copy(merged, ours)
	for _, label := range job.Labels {
		if merged[label] != ours[label] {
			t.Errorf("%s is %q", label, merged[label])
		}
	}
	if merged[job.LabelImages] != "" || merged[job.LabelKept] != "" || merged[job.LabelName] != "gsx-0123abcd-p3-j4" || merged["com.example.other"] != "x" {
		t.Errorf("%v", merged)
	}
	for _, label := range slices.Concat(slices.Collect(maps.Keys(Identity{}.Labels(""))), []string{job.LabelState, job.LabelImages, job.LabelKept, job.LabelProtected, job.LabelSlot}) {
		if !slices.Contains(job.Labels, label) {
			t.Errorf("%s is not set on every container", label)
		}
	}
}

// Somebody else's container whose image has our labels is not ours to remove, be it
// a day old, or with a dead process of this machine as its owner.
func TestHostileForeignContainerStays(t *testing.T) {
	dead := journal.Owner()
	dead.Started++
	const name = "gsx-0123abcd-p1-j2"
	foreign := map[string]string{job.LabelName: name, job.LabelOwner: dead.String()}
	x := standIn(t, []engine.Found{
		{ID: "a1", Name: "web", Labels: foreign}, {ID: "a2", Name: name + "9", Labels: foreign}, {ID: "a3", Name: name, Labels: foreign},
	}, func(*http.Request) {})
	if all, err := x.findThings(t.Context(), ""); err != nil || len(all) != 1 || len(all[name]) != 1 || all[name][0].ID != "a3" {
		t.Errorf("%+v %v", all, err)
	}
	fills := map[string]string{job.LabelImages: x.imagesID()}
	for _, c := range []struct {
		found engine.Found
		tool  bool
	}{
		{engine.Found{Name: x.generationVolume(3), Labels: job.ContainerLabels(fills)}, true},
		{engine.Found{Name: "web", Labels: fills}, false},
		{engine.Found{Name: name, Labels: map[string]string{job.LabelName: name, job.LabelImages: x.imagesID()}}, false},
		{engine.Found{Name: x.generationVolume(3), Labels: map[string]string{job.LabelName: name, job.LabelImages: x.imagesID()}}, false},
	} {
		if got := x.isTool(c.found); got != c.tool {
			t.Errorf("%+v: %t", c.found, got)
		}
	}
}

// What an image says of itself is not shown as a job's.
func TestHostileIdentityOfLabels(t *testing.T) {
	i := Identity{Server: "gitlab.example.com", RunnerID: 5, ProjectID: 1, PipelineID: 6, JobID: 2}
	labels := i.Labels("build")
	s := JobState{Name: i.Name()}
	if s.fromLabels(thing{journal.Container, engine.Found{ID: "c", Labels: labels, Made: time.Now()}}); s.Identity != i || s.Container != "c" {
		t.Errorf("%+v", s)
	}
	labels[job.LabelServer] = "\x1b]0;owned\a"
	s = JobState{Name: i.Name()}
	if s.fromLabels(thing{journal.Container, engine.Found{ID: "c", Labels: labels}}); s.Identity != (Identity{}) {
		t.Errorf("%+v", s)
	}
}
