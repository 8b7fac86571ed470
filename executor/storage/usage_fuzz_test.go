package storage_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/integration/heap"
)

// The recorded values of a volume and the agent's report result in possible values and in one
// line.
func FuzzUsage(f *testing.F) {
	f.Add([]byte(`{"pool":"disk 1","limit":100,"used":5,"backend":"xfs-loop","driver":"vfs","hard":true,"peak":7,"base":3}`), []byte(`{"used":5,"peak":9,"files":11}`))
	f.Add([]byte(`{"limit":-9223372036854775808,"used":9223372036854775807,"peak":-1,"base":9223372036854775807}`), []byte(`{"used":-1,"peak":-1,"files":9223372036854775807}`))
	f.Add([]byte(`{"limit":9223372036854775807,"base":-9223372036854775808,"hard":true}`), []byte(`{"files":-9223372036854775808}`))
	f.Fuzz(func(t *testing.T, state, usage []byte) {
		defer heap.Bounded(t)()
		var s storage.State
		var u agent.Usage
		if json.Unmarshal(state, &s) != nil || json.Unmarshal(usage, &u) != nil {
			return
		}
		s.Mountpoint = "" // a place on this machine
		s.Backend, s.Driver = "volume", "vfs"
		after := s
		after.Used, after.Peak = u.Used, max(s.Peak, u.Peak)
		for _, s := range []storage.State{s.Possible(), after.Possible()} {
			for _, n := range []int64{s.Used, s.Peak, s.Base, s.Open(), s.Now()} {
				if n < 0 || n > s.Limit {
					t.Errorf("%+v", s)
				}
			}
			if line := s.Line(u.Files); len(line) > 300 || strings.Contains(line, "\n") || strings.Contains(line, "-") && s.Hard {
				t.Errorf("%q of %+v", line, s)
			}
		}
	})
}
