package job

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A name is used in a path, and the resource with this name is removed.
func TestHostileNames(t *testing.T) {
	good := Identity{Server: "gitlab.example.com", ProjectID: 1, JobID: 9223372036854775807}.Name()
	for name, valid := range map[string]bool{
		good: true, "gsx-0123abcd-p0-j7": true,
		"": false, "gsx-": false, "gsx-x": false, "gsx-\x1b]0;owned\a": false, "gsx-0123abcd-p1-j2\n": false, "gsx-0123ABCD-p1-j2": false,
		"gsx-0123abcd-p-1-j2": false, "gsx-0123abcd-p1-j2-helper": false, "gsx-0123abcd-p1-j2/..": false, "../gsx-0123abcd-p1-j2": false,
		"gsx-0123abcd-p1-j" + strings.Repeat("9", 300): false,
	} {
		if ValidName(name) != valid {
			t.Errorf("%q: %t", name, !valid)
		}
	}
	for thing, ours := range map[string]bool{
		good: true, good + "-helper": true, good + "-s0": true, good + "-shared-3": true,
		good + "9": false, "web": false, "": false, "x" + good: false, good[:len(good)-1]: false,
	} {
		if got := Owns(good, thing, map[string]string{LabelName: good}); got != ours {
			t.Errorf("%q: %t", thing, got)
		}
	}
	if Owns(good, good, nil) || Owns(good, good, map[string]string{LabelName: "gsx-1"}) {
		t.Error("without the label")
	}
}

// The labels of an image must not be taken for labels of our container.
func TestHostileLabelsOfAnImageDoNotCount(t *testing.T) {
	image := map[string]string{LabelImages: "01234567", LabelKept: "builds", LabelName: "gsx-0123abcd-p1-j2", LabelState: "1-2", LabelOwner: "1/1////1", "com.example.other": "x"}
	ours := ContainerLabels(map[string]string{LabelRole: "build", LabelName: "gsx-0123abcd-p3-j4"})
	merged := maps.Clone(image) // the engine merges them this way
	maps.Copy(merged, ours)
	for _, label := range Labels {
		if merged[label] != ours[label] {
			t.Errorf("%s is %q", label, merged[label])
		}
	}
	if merged[LabelImages] != "" || merged[LabelKept] != "" || merged[LabelName] != "gsx-0123abcd-p3-j4" || merged["com.example.other"] != "x" {
		t.Errorf("%v", merged)
	}
	for _, label := range slices.Concat(slices.Collect(maps.Keys(Identity{}.Labels(""))), []string{LabelState, LabelImages, LabelKept, LabelProtected, LabelSlot}) {
		if !slices.Contains(Labels, label) {
			t.Errorf("%s is not set on every container", label)
		}
	}
}
