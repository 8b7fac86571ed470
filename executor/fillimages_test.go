package executor

import (
	"slices"
	"testing"

	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/storage"
)

func TestWantedImages(t *testing.T) {
	current := shared.Generation{Images: []storage.StoredImage{{Reference: "b"}, {Reference: "c"}}}
	for _, c := range []struct {
		change ImageChange
		want   []string
	}{
		{ImageChange{Pull: []string{"a", "b"}}, []string{"a", "b", "c"}},
		{ImageChange{Remove: []string{"b"}}, []string{"c"}},
		{ImageChange{Remove: []string{"b", "c"}}, nil},
	} {
		if got := wantedImages(current, c.change); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.change, got, c.want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := quote("it's $(x) \"y\"\n"); got != `'it'\''s $(x) "y"`+"\n'" {
		t.Error(got)
	}
}
