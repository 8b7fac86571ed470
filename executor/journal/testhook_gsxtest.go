//go:build gsxtest

package journal

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var passed atomic.Int64

// testHook kills the process at its GSX_TEST_KILL_AT_WRITE-th call. It is called before and after
// each write of the journal. Only the tests' build (-tags gsxtest) has it.
func testHook() {
	n, err := strconv.ParseInt(os.Getenv("GSX_TEST_KILL_AT_WRITE"), 10, 64)
	if err == nil && passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
