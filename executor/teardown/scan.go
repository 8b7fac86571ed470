package teardown

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/moby/sys/mountinfo"
)

// Limits for reading mount tables: a container can have up to 100,000 mounts
// (/proc/sys/fs/mount-max) in each of any number of mount namespaces.
var (
	// maxMounts is how many lines of another mount namespace's table are read.
	maxMounts = 10_000
	// maxOwnMounts is the limit for this process's namespace, to which no job adds mounts.
	maxOwnMounts = 100_000
)

// errManyMounts means that a mount table was not read to its end.
var errManyMounts = errors.New("too many mounts to read")

// scanMounts calls each for every line of a process's mount table, until each returns false,
// limit lines are read or ctx ends. The process is a PID or "self".
func scanMounts(ctx context.Context, process string, limit int, each func(*mountinfo.Info) bool) error {
	table, err := os.Open("/proc/" + process + "/mountinfo")
	if err != nil {
		return err
	}
	defer table.Close()
	return scanTable(ctx, table, limit, each)
}

func scanTable(ctx context.Context, table io.Reader, limit int, each func(*mountinfo.Info) bool) error {
	lines := 0
	var ended error
	next := func(m *mountinfo.Info) bool {
		switch {
		case lines >= limit:
			ended = fmt.Errorf("%w: more than %d", errManyMounts, limit)
			return false
		case ctx.Err() != nil:
			ended = context.Cause(ctx)
			return false
		}
		lines++
		return each(m)
	}
	_, err := mountinfo.GetMountsFromReader(table, func(m *mountinfo.Info) (skip, stop bool) {
		goOn := next(m)
		return goOn, !goOn // the library ignores stop for a skipped line
	})
	if ended != nil {
		return ended
	}
	return err
}
