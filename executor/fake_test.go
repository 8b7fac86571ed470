package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/servicelog"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/teardown"
)

// memory is a Backend with only networks, in memory.
type memory struct {
	mu       sync.Mutex
	networks []removal.Resource
	// prepare is called by Prepare after it has made a network; it may be nil.
	prepare func(context.Context) (job.Environment, error)
	remove  func(removal.Resource) // called before each removal; may be nil
	exec    agentclient.Stream     // the process in a container; nil if there is none
	remote  bool                   // the connection to it may break
	why     error                  // why it ended its containers
}

func (b *memory) Host() string          { return "unix:///memory" }
func (b *memory) Same(host string) bool { return host == b.Host() }
func (b *memory) Kinds() []removal.Kind { return []removal.Kind{b} }

func (b *memory) Meaning(err error) teardown.Meaning {
	if err == nil {
		return teardown.Gone
	}
	return teardown.Failed
}

func (b *memory) Ahead(context.Context) {}

func (b *memory) Prepare(ctx context.Context, p job.Plan, j *journal.Journal) (e job.Environment, err error) {
	name := p.Identity.Name()
	if err := j.Intend(journal.Resource{Kind: journal.Network, Name: name}); err != nil {
		return e, err
	}
	b.add(name, p.Identity.Labels(job.RoleNetwork))
	j.Answered(journal.Network, name)
	if b.prepare == nil {
		return job.Environment{Container: "c"}, nil
	}
	return b.prepare(ctx)
}

func (b *memory) add(name string, labels map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.networks = append(b.networks, removal.Resource{
		Resource: journal.Resource{Kind: journal.Network, Name: name, Answered: true}, Job: name, ID: name, Labels: labels, Made: time.Now(),
	})
}

func (b *memory) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.networks)
}

func (b *memory) Inside(_ string, _ owner.Process, name string) agentclient.Container {
	return agentclient.Container{Name: name, Remote: b.remote, Exec: func(context.Context, []string) (agentclient.Stream, error) {
		if b.exec == nil {
			return nil, errors.New("there is no process in it")
		}
		return b.exec, nil
	}}
}

func (b *memory) Ends(context.Context, string, time.Duration) bool { return true }

func (b *memory) WhyEnded(context.Context, string) error { return b.why }

func (b *memory) EndedByItself(context.Context, string) bool { return false }

func (b *memory) Service(context.Context, string) (servicelog.State, error) {
	return servicelog.State{Gone: true}, nil
}
func (b *memory) Tail(context.Context, string, int) (string, error) { return "", nil }
func (b *memory) Lines(context.Context, string, time.Time, bool, func(time.Time, string)) error {
	return nil
}

func (b *memory) Name() journal.Kind     { return journal.Network }
func (b *memory) Traits() removal.Traits { return removal.Traits{Asked: true, Round: time.Second} }

func (b *memory) List(_ context.Context, name string) (all []removal.Resource, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.networks {
		if name == "" || name == r.Job {
			all = append(all, r)
		}
	}
	return all, nil
}

func (b *memory) Adopt(context.Context, string, journal.Resource) (r removal.Resource, ok bool, err error) {
	return r, false, nil
}

func (b *memory) Examine(context.Context, *removal.Resource, removal.Recorder) {}

func (b *memory) Remove(_ context.Context, r removal.Resource, _ removal.Recorder) error {
	if b.remove != nil {
		b.remove(r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.networks = slices.DeleteFunc(b.networks, func(h removal.Resource) bool { return h.ID == r.ID })
	return nil
}

func (b *memory) Users(context.Context, removal.Resource) []string { return nil }

// lasting implements Kept and Room without any resources.
type lasting struct{ forgot []string }

func (l *lasting) After(context.Context, job.Identity) {}
func (l *lasting) ForgetTemps(volume string)           { l.forgot = append(l.forgot, volume) }
func (l *lasting) FinishDisk(string, job.Disk) error   { return nil }
func (l *lasting) Watch(context.Context, string, func(error)) func() {
	return func() {}
}

func inMemory(t *testing.T) (*Executor, *memory) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	b := new(memory)
	dir := statedir.Dir(t.TempDir())
	return &Executor{
		Backend: b, Dir: dir, Accounts: &accounting.Book{Dir: dir, Log: log}, Kept: new(lasting), Room: new(lasting),
		DropImages:     func(context.Context) ([]string, error) { return nil, nil },
		CleanupTimeout: time.Minute, Log: log,
	}, b
}
