package executor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"

	"gitlab-sysbox-executor/executor/journal"
)

// lock keeps two processes from removing one job's things at a time. The kernel
// drops it when its holder dies. The file is removed with the lock, so whoever
// waited for it looks whether it is still the one in the folder.
func (x *Executor) lock(ctx context.Context, i Identity) (unlock func(), err error) {
	path := journal.Path(x.journals(), i.Name()) + ".lock"
	for {
		l := flock.New(path)
		if _, err := l.TryLockContext(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("another clean-up of job %d does not end: %w", i.JobID, err)
		}
		held, err := l.Stat()
		if err == nil {
			if current, err := os.Stat(path); err == nil && os.SameFile(held, current) {
				return func() { os.Remove(path); l.Close() }, nil
			}
		}
		l.Close()
	}
}
