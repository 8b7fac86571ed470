package storage

import (
	"reflect"
	"strings"
	"testing"
)

func TestReadImages(t *testing.T) {
	images := []byte(`[{"id":"i1","digest":"sha256:d1","names":["docker.io/library/a:1","docker.io/library/b:1"],"layer":"l2","created":"2026-01-01T00:00:00Z"},
		{"id":"i2","digest":"sha256:d2","layer":"l1"}]`)
	layers := []byte(`[{"id":"l1","diff-size":100},{"id":"l2","parent":"l1","diff-size":20},{"id":"loop","parent":"loop","diff-size":1}]`)
	got, err := ReadImages(images, layers, []string{"docker.io/library/b:1"})
	if want := []StoredImage{{"docker.io/library/b:1", "i1", "sha256:d1", 120}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := ReadImages(images, layers, []string{"docker.io/library/c:1"}); err == nil || !strings.Contains(err.Error(), "docker.io/library/c:1") {
		t.Error(err)
	}
	looped := []byte(`[{"id":"i","names":["x"],"layer":"loop"}]`)
	if got, err := ReadImages(looped, layers, []string{"x"}); err != nil || len(got) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range [][2]string{{"", "[]"}, {"[]", ""}, {"{}", "[]"}} {
		if _, err := ReadImages([]byte(bad[0]), []byte(bad[1]), nil); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
