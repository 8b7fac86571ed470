package runner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// memory measures the peak of a process's resident memory, in bytes.
type memory struct {
	own  int64        // this process's peak when the other had just been started
	seen atomic.Int64 // the highest value that was sampled
	stop chan struct{}
}

// sampleEvery is short: a process may grow by gigabytes in a second.
const sampleEvery = 10 * time.Millisecond

// watchMemory samples the peak of pid until the function that it returns is
// called with what wait4(2) said of the process, in KiB.
//
// ru_maxrss outlives execve(2): it begins with the peak of the process that forked,
// which is this one (setmax_mm_hiwater_rss in the kernel's exec_mmap). So it is
// exact only where it is clearly higher than that, and else the last sample counts:
// the kernel counts pages for each CPU, and two readings of one peak differ.
func watchMemory(pid int) (end func(maxrss int64) int64) {
	own, _ := peakMemory("self") // unknown: the figure is too high rather than too low
	m := &memory{own: own, stop: make(chan struct{})}
	sample := func() {
		if peak, err := peakMemory(strconv.Itoa(pid)); err == nil && peak > m.seen.Load() {
			m.seen.Store(peak)
		}
	}
	sample()
	go func() {
		for {
			sample()
			select {
			case <-m.stop:
				return
			case <-time.After(sampleEvery):
			}
		}
	}()
	return func(maxrss int64) int64 {
		close(m.stop)
		if maxrss <<= 10; maxrss > m.own+m.own/16+1<<20 {
			return maxrss
		}
		return m.seen.Load()
	}
}

// peakMemory is VmHWM of /proc/PID/status (proc_pid_status(5)), in bytes.
func peakMemory(pid string) (int64, error) {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		// Not by fmt.Sscanf on each line: many jobs at a time would spend a tenth of the processor here.
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %s has no memory", pid)
}
