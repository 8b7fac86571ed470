package journal

import (
	"os"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/owner"
)

func TestKept(t *testing.T) {
	now := owner.Describe(os.Getpid())
	earlier, ahead, boot := now, now, now
	earlier.At -= 3600
	ahead.At += 3600
	boot.Boot = "another"
	for name, c := range map[string]struct {
		kept        *Kept
		least, most time.Duration
	}{
		"not at all":     {nil, 0, 0},
		"begun now":      {&Kept{now, time.Hour}, 59 * time.Minute, time.Hour},
		"half over":      {&Kept{earlier, 2 * time.Hour}, 59 * time.Minute, time.Hour},
		"over":           {&Kept{earlier, time.Minute}, 0, 0},
		"in the future":  {&Kept{ahead, time.Minute}, time.Minute, time.Minute},
		"before a start": {&Kept{boot, time.Hour}, 0, 0},
	} {
		if left := c.kept.Left(); left < c.least || left > c.most {
			t.Errorf("%s: %s", name, left)
		}
	}
}
