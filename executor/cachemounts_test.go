package executor

import "testing"

func TestMountedBelow(t *testing.T) {
	mounts := []string{".", "0/a", "0/b/deep"}
	for path, want := range map[string]bool{
		"/v/0/a": true, "/v/0/b": true, "/v/0/b/deep": true, "/v/0": true,
		"/v/0/a/in": false, "/v/0/aa": false, "/v/1": false, "/v/removed-x": false,
	} {
		if got := mountedBelow("/v", path, mounts); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
