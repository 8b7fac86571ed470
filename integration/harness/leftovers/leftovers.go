// Package leftovers compares what is on a machine before and after a job:
// containers, volumes and networks of an engine, mounts, files and loop devices
// below given folders, and the processes of drivers and containers.
package leftovers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/harness/engine"
)

// Scope says where to look.
type Scope struct {
	Engine *engine.Engine
	// EngineDir is the engine's folder: mounts below it count, and processes
	// below its containerd.
	EngineDir string
	// StateDirs are the product's own folders: their files, their mounts and
	// the loop devices on their files count.
	StateDirs []string
	// Driver is the product's binary: processes that run it count.
	Driver string
	// Owns limits the snapshot to one owner's things, so that others may work
	// beside it; nil takes everything. What cannot be attributed to anybody (a
	// volume without labels and without a job's name, a process whose container
	// the engine no longer has) is in a snapshot of everything alone.
	Owns *Owner
}

// Owner says whose things count.
type Owner struct {
	// Object tells by its name and labels whether an object of the engine counts;
	// nil: all do, the engine being the owner's own.
	Object func(name string, labels map[string]string) bool
	// Dir is in the command line of the owner's drivers.
	Dir string
}

// shared tells whether others have things on the engine, too.
func (s Scope) shared() bool { return s.Owns != nil && s.Owns.Object != nil }

// owns tells whether an object of the engine counts.
func (s Scope) owns(o engine.Object) bool { return !s.shared() || s.Owns.Object(o.Name, o.Labels) }

// Snapshot is what was there, one line a thing.
type Snapshot map[string]bool

// Take looks at everything in the scope.
func (s Scope) Take(ctx context.Context) (Snapshot, error) {
	found := Snapshot{}
	var problems []error
	for _, look := range []func(context.Context, Snapshot) error{s.objects, s.mounts, s.loops, s.files, s.processes} {
		problems = append(problems, look(ctx, found))
	}
	return found, errors.Join(problems...)
}

// Diff is what is there in only one of two snapshots: "+" after, "-" before.
// It is empty when they are equal.
func Diff(before, after Snapshot) string {
	var lines []string
	for thing := range maps.Keys(after) {
		if !before[thing] {
			lines = append(lines, "+ "+thing)
		}
	}
	for thing := range maps.Keys(before) {
		if !after[thing] {
			lines = append(lines, "- "+thing)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s Scope) objects(ctx context.Context, found Snapshot) error {
	var problems []error
	for kind, list := range map[string]func(context.Context, ...string) ([]engine.Object, error){
		"container": s.Engine.Containers, "volume": s.Engine.Volumes, "network": s.Engine.Networks,
	} {
		all, err := list(ctx)
		problems = append(problems, err)
		for _, o := range all {
			if !s.owns(o) {
				continue
			}
			found[fmt.Sprintf("%s %s %.12s (%s)", kind, o.Name, o.ID, o.Detail)] = true
		}
	}
	return errors.Join(problems...)
}

// below tells whether a path is one of our folders or within it.
func (s Scope) below(path string) bool {
	return slices.ContainsFunc(append([]string{s.EngineDir}, s.StateDirs...), func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

func (s Scope) mounts(_ context.Context, found Snapshot) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		mount, filesystem, ok := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 5 {
			return fmt.Errorf("unreadable line in mountinfo: %q", line)
		}
		// The kernel writes a space as \040.
		if path := strings.ReplaceAll(fields[4], `\040`, " "); s.below(path) && s.ownsMount(path) {
			found[fmt.Sprintf("mount %s (%s)", path, strings.TrimSpace(filesystem))] = true
		}
	}
	return nil
}

// ownsMount tells whether a mount counts: of those below the engine's folder, the
// volumes have their owner in their name.
func (s Scope) ownsMount(path string) bool {
	if !s.shared() || !strings.HasPrefix(path, s.EngineDir+"/") {
		return true
	}
	_, volume, ok := strings.Cut(path, "/volumes/")
	name, _, _ := strings.Cut(volume, "/")
	return ok && s.Owns.Object(name, nil)
}

func (s Scope) loops(_ context.Context, found Snapshot) error {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, file := range files {
		backing, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // detached meanwhile
		}
		if err != nil {
			return err
		}
		// The kernel marks a file that was removed. Devices of files elsewhere are somebody else's.
		if path := strings.TrimSpace(string(backing)); s.below(strings.TrimSuffix(path, " (deleted)")) {
			found[fmt.Sprintf("loop device %s (%s)", strings.Split(file, "/")[3], path)] = true
		}
	}
	return nil
}

func (s Scope) files(_ context.Context, found Snapshot) error {
	for _, dir := range s.StateDirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // not made yet, or gone meanwhile
			case err != nil:
				return err
			case path == statedir.Dir(dir).Metrics():
				return fs.SkipDir // counts outlive jobs
			case !entry.IsDir():
				found["file "+path] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
