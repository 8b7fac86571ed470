package agent

import (
	"slices"
	"testing"
)

func TestToolsComeLastOnThePath(t *testing.T) {
	for _, c := range []struct{ env, want []string }{
		{[]string{"PATH=/a:/b", "A=1"}, []string{"A=1", "PATH=/a:/b:/tools"}},
		{[]string{"A=1"}, []string{"A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/tools"}},
	} {
		if got := withPath(c.env, "/tools"); !slices.Equal(got, c.want) {
			t.Errorf("%q gives %q, want %q", c.env, got, c.want)
		}
		if got := withPath(c.env, ""); !slices.Equal(got, c.env) {
			t.Errorf("%q without a tool gives %q", c.env, got)
		}
	}
}
