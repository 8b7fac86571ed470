package removal

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
)

// gc leaves a job alone that is kept, and Remove removes it, unless it runs.
func TestKeptJobs(t *testing.T) {
	ended := owner.Current()
	ended.Started++
	for name, c := range map[string]struct {
		by             owner.Process
		kept           time.Duration
		collected      bool
		reason, refuse string
	}{
		"kept":          {ended, time.Hour, false, "it is kept for another", ""},
		"time is over":  {ended, 0, true, "", ""},
		"runs":          {owner.Current(), 0, false, "its owner process lives", "its owner process lives"},
		"runs and kept": {owner.Current(), time.Hour, false, "it is kept for another", "its owner process lives"},
	} {
		t.Run(name, func(t *testing.T) {
			e := testEngine(t)
			j, _, err := journal.Open(e.Dir.Journals(), aJob)
			if err == nil {
				err = j.Begin(json.RawMessage("{}"), c.by, "")
			}
			if err == nil {
				err = j.Keep(owner.Describe(os.Getpid()), c.kept)
			}
			if err != nil {
				t.Fatal(err)
			}
			all, err := e.Collect(t.Context(), Options{DryRun: true})
			if err != nil || len(all) != 1 || (all[0].Action == WouldRemove) != c.collected || !strings.Contains(all[0].Reason, c.reason) {
				t.Errorf("gc: %+v %v", all, err)
			}
			_, err = e.Remove(t.Context(), aJob)
			if there := exists(e.Dir.Journal(aJob)); (err != nil) != (c.refuse != "") || there != (c.refuse != "") {
				t.Errorf("remove: %v, journal: %t", err, there)
			}
			if err != nil && !strings.Contains(err.Error(), aJob+" is not removed: "+c.refuse) {
				t.Error(err)
			}
		})
	}
}
