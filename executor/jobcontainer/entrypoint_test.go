package jobcontainer

import (
	"strings"
	"testing"
)

func TestEntrypoint(t *testing.T) {
	for _, tc := range []struct {
		name     string
		job, img []string
		want     string
	}{
		{"image's own", nil, []string{"/entry"}, "/entry"},
		{"job's", []string{"/mine", "-x"}, []string{"/entry"}, "/mine -x"},
		{"cleared by the job", []string{""}, []string{"/entry"}, ""},
		{"none", nil, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(Entrypoint(tc.job, tc.img), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
