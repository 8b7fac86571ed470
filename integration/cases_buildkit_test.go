package integration

import "testing"

// Issue 6, BuildKit: ranges of user IDs that a container does not have are made to
// fit, so that newuidmap, which rootlesskit and Buildah call, takes them.
func TestSubIDsFitTheUserNamespace(t *testing.T) {
	t.Parallel()
	for name, ranges := range map[string]string{
		"subids":  "builder:1:999 builder:1001:64535",
		"buildah": "builder:1:999 builder:1001:64535", // as it comes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, settings{})
			j := job(t, name,
				"echo uids $(cat /etc/subuid)", "echo gids $(cat /etc/subgid)", "stat -c 'owner %u mode %a' /etc/subuid",
				`echo "mapped $(buildah unshare awk '{n += $3} END {print n}' /proc/self/uid_map)"`)
			j.Image.User = "builder"
			wantLines(t, p.succeed(t, j), "uids "+ranges, "gids "+ranges, "owner 0 mode 644", "mapped 65535")
		})
	}
}
