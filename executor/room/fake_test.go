package room

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// disk is the engine's disk, with 1000 bytes.
type disk struct {
	mu    sync.Mutex
	pool  storage.Pool
	looks int
	// late is how long it takes until removed bytes are free.
	late time.Duration
}

func (d *disk) look(string) (storage.Pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks++
	return d.pool, nil
}

func (d *disk) free(n int64) {
	add := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pool.Free += n
	}
	if d.late == 0 {
		add()
		return
	}
	time.AfterFunc(d.late, add)
}

// set changes the free space.
func (d *disk) set(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pool.Free = free
}

// thing is a resource that jobs do not need.
type thing struct {
	name string
	size int64
	used bool // by a job, so its removal is refused
}

// things are a Store on a disk.
type things struct {
	disk    *disk
	all     []thing
	err     error
	asked   []removal.Options
	removed []string
	// removing is called before each removal.
	removing func()
}

func (s *things) Unused(_ context.Context, o removal.Options, reason string) ([]removal.Remover, error) {
	s.asked = append(s.asked, o)
	var all []removal.Remover
	for _, th := range s.all {
		all = append(all, func(context.Context) (removal.Collected, int64) {
			if s.removing != nil {
				s.removing()
			}
			c := removal.Collected{Name: th.name, Action: removal.Removed, Reason: reason}
			switch {
			case th.used:
				c.Action = removal.Kept
			case o.DryRun:
				c.Action = removal.WouldRemove
			default:
				s.removed = append(s.removed, th.name)
				s.all = slices.DeleteFunc(slices.Clone(s.all), func(other thing) bool { return other.name == th.name })
				s.disk.free(th.size)
			}
			return c, th.size
		})
	}
	return all, s.err
}

// root is an engine with this data root.
type root struct {
	dir   string
	asked int
}

func (r *root) Info(context.Context) (engine.Info, error) {
	r.asked++
	return engine.Info{RootDir: r.dir}, nil
}

// fixture is a Keeper for 100 bytes with two images and two volumes of 20 bytes each.
type fixture struct {
	*Keeper
	disk         *disk
	images, kept *things
	engine       *root
	gc           []removal.Options // options of the calls
	collected    []removal.Collected
	gcErr        error
	log          strings.Builder
	folder       string
	freedByGC    int64
}

func newFixture(t *testing.T, free int64) *fixture {
	t.Helper()
	f := &fixture{folder: t.TempDir()}
	f.disk = &disk{pool: storage.Pool{ID: "disk 1", Name: "/data", Size: 1000, Free: free}}
	f.images = &things{disk: f.disk, all: []thing{{name: "image 1", size: 20}, {name: "image 2", size: 20}}}
	f.kept = &things{disk: f.disk, all: []thing{{name: "volume 1", size: 20}, {name: "volume 2", size: 20}}}
	f.engine = &root{dir: f.folder}
	log := logrus.New()
	log.SetOutput(&f.log)
	log.SetLevel(logrus.DebugLevel)
	f.Keeper = &Keeper{
		State: statedir.Dir(t.TempDir()), Engine: f.engine, Local: true, Pulled: f.images, Kept: f.kept, MinFree: 100, Log: log,
		GC: func(_ context.Context, o removal.Options) ([]removal.Collected, error) {
			f.gc = append(f.gc, o)
			f.disk.free(f.freedByGC)
			return f.collected, f.gcErr
		},
		pool: f.disk.look,
	}
	return f
}

// names formats the collected resources, with the action unless they were removed.
func names(all []removal.Collected) string {
	var text []string
	for _, c := range all {
		name := c.Name
		if c.Action != removal.Removed {
			name += " (" + string(c.Action) + ")"
		}
		text = append(text, name)
	}
	return strings.Join(text, ", ")
}
