package statedir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reachable is a state folder that other users can access.
func reachable(t *testing.T) Dir {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gsx-state-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return Dir(dir)
}

// takeAll takes and releases every lock of the job.
func takeAll(ctx context.Context, d Dir, job string) error {
	if err := d.MakeJob(job); err != nil {
		return err
	}
	d.Use(job)()
	if d.Used(job) {
		return errors.New("the job counts as used")
	}
	var errs []error
	unlock, err := d.Lock(ctx, job)
	if errs = append(errs, err); err == nil {
		unlock()
	}
	if unlock, err = d.LockAdmission(ctx); err == nil {
		unlock()
	}
	errs = append(errs, err)
	for name, try := range map[string]func() (func(), bool, error){"gc": d.TryLockGC, "images": d.TryLockImages} {
		unlock, ok, err := try()
		if err == nil && !ok {
			err = errors.New("another process has the lock of " + name)
		}
		if errs = append(errs, err); err == nil {
			unlock()
		}
	}
	h, err := d.Hold("volume", true)
	if err == nil && h == nil {
		err = errors.New("another process has the volume")
	}
	if errs = append(errs, err); err == nil {
		h.Release()
	}
	return errors.Join(errs...)
}

// Only the owner can open files and folders that are locked, even if an older version or a
// narrow umask made the folders.
func TestModes(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, d Dir){
		"new": func(*testing.T, Dir) {},
		"of an older version": func(t *testing.T, d Dir) {
			for _, path := range []string{d.Jobs(), d.Job("gsx-1"), d.Images(), d.Journals(), d.GC(), filepath.Dir(d.Kept("v"))} {
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a narrow umask": func(t *testing.T, _ Dir) {
			old := syscall.Umask(0o077)
			t.Cleanup(func() { syscall.Umask(old) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := reachable(t)
			prepare(t, d)
			if err := takeAll(t.Context(), d, "gsx-1"); err != nil {
				t.Fatal(err)
			}
			modes := map[string]fs.FileMode{"jobs": 0o711, "jobs/gsx-1": 0o711, "images": 0o711}
			err := filepath.WalkDir(string(d), func(path string, _ fs.DirEntry, err error) error {
				if err != nil || path == string(d) {
					return err
				}
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				rel, _ := filepath.Rel(string(d), path)
				want, ok := modes[rel]
				if !ok && info.IsDir() {
					want = 0o700
				}
				if info.IsDir() && info.Mode().Perm() != want {
					t.Errorf("%s: %s, want %s", rel, info.Mode().Perm(), want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			there := 0
			for path, want := range d.Folders() {
				if info, err := os.Stat(path); err == nil {
					if there++; info.Mode().Perm() != want {
						t.Errorf("Folders says %s for %s, which has %s", want, path, info.Mode().Perm())
					}
				}
			}
			if there < 6 {
				t.Errorf("only %d of the folders that Folders lists are there", there)
			}
		})
	}
}

// Another user locks everything that it can open. Every lock must still be available.
func TestHostileLocksOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	d := reachable(t)
	for _, path := range []string{d.Jobs(), d.Images()} { // the modes of an older version
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := takeAll(t.Context(), d, "gsx-1"); err != nil {
		t.Fatal(err)
	}
	locked := 0
	err := filepath.WalkDir(string(d), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		c := exec.Command("flock", "--no-fork", "--exclusive", "--nonblock", path, "sh", "-c", "echo ready; exec sleep 600")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.StdoutPipe()
		if err != nil {
			return err
		}
		if err := c.Start(); err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		if n, _ := out.Read(make([]byte, 6)); n > 0 {
			locked++
		}
		return nil
	})
	if err != nil || locked == 0 { // it can always lock the state folder itself
		t.Fatalf("the other user has %d locks: %v", locked, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := takeAll(ctx, d, "gsx-1"); err != nil {
		t.Error(err)
	}
}

// A lock excludes other holders, and is available again after its release.
func TestLocksExclude(t *testing.T) {
	d := reachable(t)
	if err := d.MakeJob("gsx-1"); err != nil {
		t.Fatal(err)
	}
	tries := map[string]func() (func(), bool, error){
		"job": func() (func(), bool, error) { return d.TryLock("gsx-1") },
		"gc":  d.TryLockGC, "images": d.TryLockImages,
		"admission": func() (func(), bool, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			unlock, err := d.LockAdmission(ctx)
			if errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "locks/admission") {
				return nil, false, nil
			}
			return unlock, err == nil, err
		},
	}
	held := map[string]func(){}
	for name, try := range tries {
		unlock, ok, err := try()
		if !ok || err != nil {
			t.Fatalf("%s: %t, %v", name, ok, err)
		}
		held[name] = unlock
	}
	for name, try := range tries {
		if _, ok, err := try(); ok || err != nil {
			t.Errorf("%s a second time: %t, %v", name, ok, err)
		}
		held[name]()
		if unlock, ok, err := try(); !ok || err != nil {
			t.Errorf("%s once it is free: %t, %v", name, ok, err)
		} else {
			unlock()
		}
	}
	if _, err := os.Stat(d.Journal("gsx-1") + ".lock"); !os.IsNotExist(err) {
		t.Errorf("the lock of a job without a journal: %v", err)
	}
}

// The job folder of an older version has no folder for the use lock.
func TestUseOfAnOlderVersionsJob(t *testing.T) {
	d := reachable(t)
	if err := os.MkdirAll(d.Job("gsx-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if d.Used("gsx-1") {
		t.Error("it counts as used before anybody does")
	}
	done := d.Use("gsx-1")
	if !d.Used("gsx-1") {
		t.Error("it does not count as used")
	}
	if done(); d.Used("gsx-1") {
		t.Error("it counts as used afterwards")
	}
	d.Use("gsx-2")()
	if _, err := os.Stat(d.Job("gsx-2")); !os.IsNotExist(err) {
		t.Errorf("a job that is gone has a folder: %v", err)
	}
}

// Several processes may be about to use a kept volume. Only one may remove it.
func TestHold(t *testing.T) {
	d := reachable(t)
	hold := func(exclusive, want bool) *Hold {
		t.Helper()
		h, err := d.Hold("v", exclusive)
		if err != nil || (h != nil) != want {
			t.Fatalf("got %v, %v", h, err)
		}
		return h
	}
	alone := hold(true, true)
	hold(true, false)
	hold(false, false)
	alone.Release()
	first, second := hold(false, true), hold(false, true)
	hold(true, false)
	first.Release()
	second.Release()
	again := hold(true, true)
	// After its holder has removed the file, the next process locks a new one.
	if err := os.Remove(d.Kept("v")); err != nil {
		t.Fatal(err)
	}
	hold(true, true).Release()
	again.Release()
}

// Reading a last use does not change a time in the future. gc sets it to the present, so
// that the file does not count as used until the clock reaches that time.
func TestTimesAhead(t *testing.T) {
	d := Dir(t.TempDir())
	ahead := time.Now().Add(5 * 365 * 24 * time.Hour).Truncate(time.Second)
	behind := time.Now().Add(-time.Hour).Truncate(time.Second)
	wanted := map[string]time.Time{
		d.Journal("gsx-1"): ahead, d.Kept("gsx-kept"): ahead, d.PulledImage("abc"): ahead, filepath.Join(d.Aside(), "gsx-1"): ahead,
		d.Journal("gsx-2"): behind, d.Kept("gsx-other"): behind,
	}
	for path, at := range wanted {
		for _, err := range []error{os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	stamp := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for path, at := range wanted {
		last, err := LastUse(path)
		if err != nil || last.After(time.Now()) || at == behind && !last.Equal(behind) || at == ahead && time.Since(last) > time.Minute {
			t.Errorf("%s: %v %v", path, last, err)
		}
		if got := stamp(path); !got.Equal(at) {
			t.Errorf("%s was stamped %v, and is now %v", path, at, got)
		}
	}
	d.CorrectTimes()
	for path, at := range wanted {
		if got := stamp(path); at == behind && !got.Equal(behind) || at == ahead && time.Since(got).Abs() > time.Minute {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// Remove keeps a file in the state folder that the executor did not write.
func TestRemove(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "state"))
	if err := d.MakeJob("gsx-0123abcd-p1-j2"); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(string(d), "theirs")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	left, err := d.Remove()
	if err != nil || len(left) != 1 || left[0] != "theirs" || d.HasJob("gsx-0123abcd-p1-j2") {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if left, err := d.Remove(); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(string(d)); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestRecorded(t *testing.T) {
	d := Dir(t.TempDir())
	if err := d.make(private, d.GC(), d.Journals(), d.Pulled()); err != nil {
		t.Fatal(err)
	}
	if d.Recorded() {
		t.Error("empty folders count as a record")
	}
	if err := os.WriteFile(d.PulledImage("x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !d.Recorded() {
		t.Error("a pulled image does not")
	}
}
