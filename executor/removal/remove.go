package removal

import (
	"context"
	"fmt"
	"time"

	"gitlab-sysbox-executor/executor/journal"
)

// keptFor is how long the named job is still kept for a person to look at; zero if it is not.
func (e *Engine) keptFor(name string) time.Duration {
	content, there, err := journal.Read(e.Dir.Journals(), name)
	if err != nil || !there || content.Ended {
		return 0
	}
	return content.Kept.Left()
}

// Remove removes the named job, also if it is kept for a person to look at, and returns the leftovers. It refuses a
// job that runs.
func (e *Engine) Remove(ctx context.Context, name string) ([]journal.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout-e.holderTime())
	defer cancel()
	unlock, err := e.Dir.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, err := e.All(ctx, name)
	if err != nil {
		return nil, err
	}
	if alive, why := e.lives(name, found[name], 0); alive {
		return nil, fmt.Errorf("%s is not removed: %s", name, why)
	}
	return e.clearLocked(ctx, name, nil)
}
