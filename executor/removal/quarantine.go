package removal

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// unreadTime is how long an unreadable journal is kept for an administrator.
const unreadTime = 7 * 24 * time.Hour

// Quarantined lists the folders and journals in quarantine.
func Quarantined(d statedir.Dir) (folders, journals []string) {
	folders, _ = filepath.Glob(filepath.Join(d.Aside(), "gsx-*"))
	journals, _ = journal.Aside(d.Journals())
	return folders, journals
}

// CollectQuarantine removes quarantined files that no journal names: folders whose journal
// was lost, and journals that could not be read.
func (e *Engine) CollectQuarantine(ctx context.Context, o Options) []Collected {
	mentioned := map[string]bool{}
	names, _ := journal.Names(e.Dir.Journals()) // Collect reports an error
	for _, name := range names {
		if content, there, err := journal.Read(e.Dir.Journals(), name); err == nil && there {
			for _, r := range content.Resources {
				mentioned[r.Name] = true
			}
		}
	}
	var all []Collected
	collect := func(path, reason string, keep time.Duration) {
		last, err := statedir.LastUse(path)
		if err != nil || mentioned[path] {
			return
		}
		c := Collected{Name: path, Action: Kept, Reason: reason}
		switch {
		case time.Since(last) < max(keep, o.OlderThan):
		case o.DryRun:
			c.Action = WouldRemove
		default:
			c.Action = Removed
			short, cancel := context.WithTimeout(ctx, cmp.Or(o.Each, e.Timeout))
			defer cancel()
			if err := teardown.RemoveFolder(short, path); err != nil {
				c.Action, c.Reason = LeftOver, err.Error()
			}
		}
		all = append(all, c)
	}
	folders, journals := Quarantined(e.Dir)
	for _, path := range folders {
		collect(path, "a folder in quarantine", 0)
	}
	for _, path := range journals {
		collect(path, fmt.Sprintf("a journal that could not be read, kept for %s", unreadTime), unreadTime)
	}
	return all
}
