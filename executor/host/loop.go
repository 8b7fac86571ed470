package host

import (
	"context"
	"time"

	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/teardown"
)

// patience is how long a removal waits for foreign processes.
const patience = 15 * time.Second

// Loops are loop devices that outlived their volume. Only journals name them.
type Loops struct{ journalOnly }

// Name implements [removal.Kind].
func (Loops) Name() journal.Kind { return journal.Loop }

// Remove detaches the device from its file.
func (Loops) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	return teardown.DetachLoop(ctx, r.ID, r.Detail)
}

// Adopt trusts the journal: Remove finds out whether the device still exists.
func (Loops) Adopt(_ context.Context, job string, noted journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{Resource: noted, Job: job, ID: noted.Name, Path: true}, true, nil
}

// Held are the engine's paths that the engine has removed and foreign processes hold.
type Held struct{ journalOnly }

// Name implements [removal.Kind].
func (Held) Name() journal.Kind { return journal.Held }

// Adopt trusts the journal.
func (Held) Adopt(_ context.Context, job string, noted journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{Resource: noted, Job: job, ID: noted.Name}, true, nil
}

// Remove waits until no process holds the path.
func (Held) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	return teardown.ParsePossibleHolders(r.ID, r.Detail).Released(ctx)
}

// journalOnly has the common methods of kinds that only the journal lists.
type journalOnly struct{}

func (journalOnly) Traits() removal.Traits { return removal.Traits{Round: round, Patience: patience} }

func (journalOnly) List(context.Context, string) ([]removal.Resource, error) { return nil, nil }

func (journalOnly) Users(context.Context, removal.Resource) []string { return nil }

func (journalOnly) Examine(context.Context, *removal.Resource, removal.Recorder) {}
