package removal

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// memory is a Kind whose resources are in memory. Its functions may be nil.
type memory struct {
	name   journal.Kind
	traits Traits

	mu     sync.Mutex
	there  []Resource
	listed func(job string)            // called before each list
	remove func(Resource) error        // nil: the removal succeeds
	adopt  func(journal.Resource) bool // reports whether an unlisted resource still exists
	users  func(context.Context) []string
}

func (k *memory) Name() journal.Kind { return k.name }
func (k *memory) Traits() Traits     { return k.traits }

func (k *memory) List(_ context.Context, job string) (all []Resource, err error) {
	if k.listed != nil {
		k.listed(job)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.there {
		if job == "" || job == r.Job {
			all = append(all, r)
		}
	}
	return all, nil
}

func (k *memory) Adopt(_ context.Context, job string, noted journal.Resource) (Resource, bool, error) {
	return Resource{Resource: noted, Job: job, ID: noted.Name}, k.adopt != nil && k.adopt(noted), nil
}

func (k *memory) Examine(context.Context, *Resource, Recorder) {}

func (k *memory) Remove(_ context.Context, r Resource, _ Recorder) error {
	if k.remove != nil {
		if err := k.remove(r); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.there = slices.DeleteFunc(k.there, func(h Resource) bool { return h.ID == r.ID })
	return nil
}

func (k *memory) Users(ctx context.Context, _ Resource) []string {
	if k.users == nil {
		return nil
	}
	return k.users(ctx)
}

func (k *memory) add(job, name string, labels map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.there = append(k.there, Resource{Resource: journal.Resource{Kind: k.name, Name: name, Answered: true}, Job: job, ID: name, Labels: labels, Made: time.Now()})
}

func (k *memory) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.there)
}

// asked is a memory for a kind that an engine makes on request.
func asked(name journal.Kind) *memory {
	return &memory{name: name, traits: Traits{Asked: true, Round: time.Second}}
}

// here is a backend with one address.
type here struct{}

func (here) Host() string          { return "unix:///here" }
func (here) Same(host string) bool { return host == "unix:///here" }

func (here) Meaning(err error) teardown.Meaning {
	if err == nil {
		return teardown.Gone
	}
	return teardown.Failed
}

func testEngine(t *testing.T, kinds ...Kind) *Engine {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	return &Engine{Dir: statedir.Dir(t.TempDir()), Backend: here{}, Timeout: time.Minute, Log: log, Kinds: kinds}
}

const aJob = "gsx-0123abcd-p1-j2"
