package teardown

import (
	"bytes"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/integration/heap"
)

// The mount table of a container holds text of its choice: it breaks nothing, and is
// not read past its bound.
func FuzzScanTable(f *testing.F) {
	f.Add([]byte("36 35 98:0 / /mnt1 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"), 10)
	f.Add([]byte("36 35 0:5 /a//deleted /x\\012y rw shared:1 - tmpfs - rw\n36 35 0:5 / / rw - - - -\n"), 1)
	f.Add([]byte("36 35 0:5 / /\\ rw - tmpfs tmpfs rw\n\n- - - - - - - - - -\n"), 3)
	t0 := target{Path: "/held", Mount: numbers{0, 5}, Root: "/a"}
	f.Fuzz(func(t *testing.T, table []byte, limit int) {
		defer heap.Bounded(t)()
		lines := 0
		err := scanTable(t.Context(), bytes.NewReader(table), limit, func(m *mountinfo.Info) bool {
			lines++
			if t0.mountedAs(m) && (m.Minor != 5 || !strings.HasPrefix(m.Root, "/a")) {
				t.Errorf("%+v counts as a mount of /a", m)
			}
			_ = t0.copied(m)
			return true
		})
		if lines > max(0, limit) {
			t.Errorf("%d lines of %d, %v", lines, limit, err)
		}
	})
}

// Any text of a journal can be read, and read again as it was written.
func FuzzParsePossibleHolders(f *testing.F) {
	f.Add("/held", "device=7 12=34 56=78")
	f.Add("/held", `{"device":7,"inode":2,"whole":true,"mount":{"major":7,"minor":3},"processes":[{"pid":1,"started":2,"how":"root folder","device":7,"inode":2}],"mount_namespaces":[{"id":"mnt:[1]","processes":[{"pid":1,"started":2}],"at":"/x"}]}`)
	f.Add("", "{}")
	f.Add("/var/lib/docker/volumes/x/_data", "null")
	f.Add("/dev/loop0", "1:2:3")
	f.Fuzz(func(t *testing.T, path, text string) {
		defer heap.Bounded(t)()
		g := ParsePossibleHolders(path, text)
		if again := ParsePossibleHolders(path, g.String()); again.Path != path || again.String() != g.String() {
			t.Errorf("%s became %s", g, again)
		}
		if len(g.stands)+len(g.spaces) < 10 {
			g.Still(t.Context())
		}
	})
}

// Nor does a long text take much memory.
func TestManyPossibleHolders(t *testing.T) {
	for _, text := range []string{
		`{"processes":[{}` + strings.Repeat(",{}", 1<<20) + `]}`, strings.Repeat("1=1 ", 1<<20),
		`{"mount_namespaces":[{"processes":[{}` + strings.Repeat(",{}", mostParts-10) + `]}]}`, `{"processes":[{}` + strings.Repeat(",{}", mostParts-10) + `]}`,
	} {
		done := heap.Bounded(t)
		g := ParsePossibleHolders("/held", text)
		done()
		if g.Path != "/held" || len(g.stands) > mostParts {
			t.Errorf("%.20q: %q with %d", text, g.Path, len(g.stands))
		}
	}
}
