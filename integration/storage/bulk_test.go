package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
	"gitlab-sysbox-executor/integration/harness"
)

// bulk makes and removes volumes as a job's prepare and cleanup do. The mount is
// this process's: it does what the engine's local driver does.
type bulk struct {
	backend storage.Backend
	engine  *engine.Engine
	dir     string
}

// once takes one volume from making to removing and tells how long its set-up took.
func (b bulk) once(ctx context.Context, name string) (setUp time.Duration, err error) {
	folder := filepath.Join(b.dir, name)
	mountpoint := filepath.Join(folder, "mount")
	if err := os.MkdirAll(mountpoint, 0o755); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // otherwise the test waits for a leak without end
	defer cancel()
	began := time.Now()
	v, err := b.backend.Make(ctx, storage.Request{Folder: folder, Size: 20 << 30})
	if err != nil {
		return 0, err
	}
	if err := b.engine.CreateVolume(ctx, name, v.Options, map[string]string{"gsx-test": "bulk"}); err != nil {
		return 0, errors.Join(err, v.Release())
	}
	setUp = time.Since(began)
	if device := v.Options["device"]; device != "" {
		if err := unix.Mount(device, mountpoint, v.Options["type"], 0, v.Options["o"]); err != nil {
			return 0, errors.Join(err, v.Release())
		}
		err = os.WriteFile(filepath.Join(mountpoint, "file"), make([]byte, 1<<20), 0o600)
		// Another process may be looking into the mount.
		err = errors.Join(err, v.Release(), os.Remove(filepath.Join(mountpoint, "file")), teardown.Unmounted(ctx, mountpoint, false))
	}
	err = errors.Join(err, b.engine.RemoveVolume(ctx, name))
	_, failed := storage.AwaitDetached(ctx, v.Image)
	return setUp, errors.Join(err, failed, ctx.Err(), os.RemoveAll(folder))
}

// Two hundred volumes, ten at a time, beside as many plain ones, leave
// nothing. What they cost is for BenchmarkVolumes to judge, on a machine that has
// nothing else to do.
func TestTwoHundredVolumes(t *testing.T) { twoHundredVolumes(t) }

// What the set-up of a storage volume takes more than that of a plain one is at
// most 60 ms.
func BenchmarkVolumes(b *testing.B) {
	for b.Loop() {
		loop, plain := twoHundredVolumes(b)
		b.ReportMetric(float64(loop.Milliseconds()), "xfs-loop-ms")
		b.ReportMetric(float64(plain.Milliseconds()), "volume-ms")
		if loop-plain > 60*time.Millisecond {
			b.Errorf("set-up takes %s more than that of a plain volume", loop-plain)
		}
	}
	b.ReportMetric(0, "ns/op") // the sum of both says nothing
}

// twoHundredVolumes makes and removes as many of each kind and returns the medians
// of their set-up times.
func twoHundredVolumes(t testing.TB) (loop, plain time.Duration) {
	t.Helper()
	p := harness.NewPlace(t, harness.Settings{})
	compare := p.MachineUnchanged(t)
	e, err := engine.New(harness.World.Engine.Host, time.Minute, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	info, err := e.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	host := storage.Host{Folder: filepath.Join(p.Dir, "volumes"), Volumes: filepath.Join(info.RootDir, "volumes")}
	took := map[string][]time.Duration{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 10 {
		wg.Go(func() {
			for n := range next {
				name := []string{storage.XFSLoop, storage.Plain}[n%2] // in turn, so that both meet the same moods of the machine
				backend, _, err := storage.Choose(name, host)
				if err != nil {
					t.Error(err)
					continue
				}
				d, err := bulk{backend, e, p.Dir}.once(context.WithoutCancel(t.Context()), fmt.Sprintf("gsx-bulk-%d", n))
				if err != nil {
					t.Errorf("volume %d: %v", n, err)
				}
				mu.Lock()
				took[name] = append(took[name], d)
				mu.Unlock()
			}
		})
	}
	for n := range 400 {
		next <- n
	}
	close(next)
	wg.Wait()
	median := func(name string) time.Duration {
		slices.Sort(took[name])
		return took[name][len(took[name])/2]
	}
	loop, plain = median(storage.XFSLoop), median(storage.Plain)
	t.Logf("set-up, median of %d each: %s %s, %s %s", len(took[storage.Plain]), storage.XFSLoop, loop, storage.Plain, plain)
	compare()
	return loop, plain
}
