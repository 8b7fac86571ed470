package sysbox

import (
	"slices"
	"testing"
)

func TestUnset(t *testing.T) {
	env := []string{"A=b", "SYSBOX_SYSCONT_MODE=TRUE"}
	image := []string{
		"PATH=/bin", "SYSBOX_SKIP_UID_SHIFT=/cache", "SYSBOX_SYSCONT_MODE=FALSE", "SYSBOX_X=1", "SYSBOX_X=2", "SYSBOX_", "SYSBOX_EMPTY=",
		"sysbox_lower=1", "NOT_SYSBOX_X=1", "SYSBOX_SYSCONT=1",
	}
	want := []string{"A=b", "SYSBOX_SYSCONT_MODE=TRUE", "SYSBOX_SKIP_UID_SHIFT", "SYSBOX_X", "SYSBOX_", "SYSBOX_EMPTY", "SYSBOX_SYSCONT"}
	if got := Unset(env, image); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if len(env) != 2 {
		t.Errorf("the list given was changed: %q", env)
	}
}
