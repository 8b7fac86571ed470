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

// Loops are loop devices that outlived the volume on them. Only journals name them.
type Loops struct{ journalOnly }

// Name implements [removal.Kind].
func (Loops) Name() journal.Kind { return journal.Loop }

// Remove detaches the device from its file.
func (Loops) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	return teardown.DetachLoop(ctx, r.ID, r.Detail)
}

// Adopt takes the journal's word: whether the device still is there is for Remove to
// find.
func (Loops) Adopt(_ context.Context, job string, noted journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{Resource: noted, Job: job, ID: noted.Name, Path: true}, true, nil
}

// Held are paths of the engine's that are gone there, and that foreign processes keep.
type Held struct{ journalOnly }

// Name implements [removal.Kind].
func (Held) Name() journal.Kind { return journal.Held }

// Adopt takes the journal's word.
func (Held) Adopt(_ context.Context, job string, noted journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{Resource: noted, Job: job, ID: noted.Name}, true, nil
}

// Remove waits until the path is let go.
func (Held) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	return teardown.ParseGrip(r.ID, r.Detail).Released(ctx)
}

// journalOnly is what kinds have in common of which nothing but the journal tells.
type journalOnly struct{}

func (journalOnly) Traits() removal.Traits { return removal.Traits{Round: round, Patience: patience} }

func (journalOnly) List(context.Context, string) ([]removal.Resource, error) { return nil, nil }

func (journalOnly) Users(context.Context, removal.Resource) []string { return nil }

func (journalOnly) Examine(context.Context, *removal.Resource, removal.Recorder) {}
