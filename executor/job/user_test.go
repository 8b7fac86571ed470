package job

import "testing"

func TestIsRoot(t *testing.T) {
	for user, want := range map[string]bool{"": true, "0": true, "root": true, "0:1000": true, "root:www-data": true, "00": true, "1000": false, "builder": false, "builder:0": false, "1000:0": false} {
		if got := IsRoot(user); got != want {
			t.Errorf("%q: %t", user, got)
		}
	}
}
