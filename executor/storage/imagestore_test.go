package storage

import (
	"reflect"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
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

// The lists contain text of the images' authors.
func FuzzReadImages(f *testing.F) {
	f.Add([]byte(`[{"id":"i","digest":"sha256:d","names":["x"],"layer":"l2"}]`), []byte(`[{"id":"l1","diff-size":100},{"id":"l2","parent":"l1","diff-size":20}]`))
	f.Add([]byte(`[{"names":["x"],"layer":"l"}]`), []byte(`[{"id":"l","parent":"l","diff-size":9223372036854775807}]`))
	f.Add([]byte(`[{"names":["x"],"layer":"l"}]`), []byte(`[{"id":"l","parent":"","diff-size":-1}]`))
	f.Add([]byte(`null`), []byte(`[null]`))
	f.Fuzz(func(t *testing.T, images, layers []byte) {
		defer heap.Bounded(t)()
		found, err := ReadImages(images, layers, []string{"x"})
		if err == nil && (len(found) != 1 || found[0].Reference != "x" || found[0].Size < 0 || found[0].Size > mostSize) {
			t.Errorf("%+v", found)
		}
	})
}

func TestLargestLists(t *testing.T) {
	long := []byte("[{}" + strings.Repeat(",{}", 5<<20) + "]")
	most := []byte("[{}" + strings.Repeat(`,{"id":"a"}`, mostParts-1) + "]")
	for _, lists := range [][2][]byte{{long, []byte("[]")}, {[]byte("[]"), long}, {most, most}} {
		done := heap.Bounded(t)
		_, err := ReadImages(lists[0], lists[1], []string{"x"})
		done()
		if err == nil {
			t.Error("no error")
		}
	}
}
