package docker

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/teardown"
)

// wantedDisk describes a new disk for the job.
func (b *Backend) wantedDisk(p job.Plan, generation string) job.Disk {
	driver := "vfs"
	if p.Volume.Overlay {
		driver = "overlay"
	}
	return job.Disk{
		Server: p.Identity.Server, Project: p.Identity.ProjectID, Protected: p.Folders.Protected,
		Runner: p.Identity.RunnerID, Slot: p.Folders.Slot,
		Limit: p.Volume.Size, Driver: driver, Generation: generation,
	}
}

// takeDisk gives the job a kept disk for its storage volume, or a new one that will be kept. It returns a text
// for the line about the volume.
func (b *Backend) takeDisk(ctx context.Context, p job.Plan, a *admitted, generation string, j *journal.Journal) (string, error) {
	if a.backend.Name() != storage.XFSLoop {
		return "not kept, because that needs xfs-loop (storage.keep)", nil
	}
	name := p.Identity.Name()
	r := intent(journal.Disk, b.Kept.Disks.Taken(name))
	r.Answered = true
	if err := j.Intend(r); err != nil {
		return "", err
	}
	disk, why, err := b.Kept.Disks.Take(ctx, name, b.wantedDisk(p, generation))
	if err != nil {
		return "", err
	}
	a.disk = &disk
	switch {
	case !disk.New():
		return fmt.Sprintf("kept from a job of this project %s ago, images on it: %d", strings.ToLower(units.HumanDuration(time.Since(disk.LastUse))), disk.Images), nil
	case why != "":
		return "new, because the kept one cannot be used: " + why, nil
	}
	return "new, because none is kept for this project and free", nil
}

// startContainer starts a container that can write to the job's storage volume.
func (b *Backend) startContainer(ctx context.Context, m *made, id string) error {
	if m.disk != nil {
		if err := b.Kept.Disks.Begin(m.Identity.Name()); err != nil {
			return err
		}
	}
	return b.Engine.StartContainer(ctx, id)
}

// settleDisk makes a kept disk fit the container: it has the size of the day, and it is empty if other tools or
// another driver used it.
func (b *Backend) settleDisk(ctx context.Context, m *made, s started, settled storage.Settings) error {
	if m.disk == nil {
		return nil
	}
	if m.grow {
		if err := storage.Grow(ctx, m.state.Mountpoint); err != nil {
			return fmt.Errorf("making the job's storage volume larger: %w", err)
		}
	}
	if m.disk.New() {
		m.disk.Driver = settled.Driver
		return nil
	}
	inside := b.Inside(s.id, s.agent(), jobcontainer.Name)
	versions, err := inside.Versions(ctx, agent.VersionsRequest{User: s.setup.User, Init: !systemdRuns(s.asked)})
	if err != nil {
		return err
	}
	reason := ""
	if tool, before, now := otherTool(m.disk.Tools, versions); tool != "" {
		reason = fmt.Sprintf("%s %s used it, and this image has %s", tool, before, now)
	} else if settled.Driver != m.disk.Driver {
		reason = fmt.Sprintf("it was made with the storage driver %s, and this job uses %s", m.disk.Driver, settled.Driver)
	}
	if reason == "" {
		return nil
	}
	b.Log.Infof("The kept storage volume is emptied: %s.", reason)
	if _, err := inside.Tidy(ctx, agent.TidyRequest{Volume: storage.Mountpoint, Empty: true}); err != nil {
		return fmt.Errorf("emptying the kept storage volume: %w", err)
	}
	m.disk.Driver, m.disk.Tools, m.disk.Images = settled.Driver, nil, 0
	return nil
}

// otherTool returns a tool whose data formats may differ from those of the tools that used a disk: its major
// version is another one.
func otherTool(before, now map[string]string) (tool, was, is string) {
	major := func(version string) string { m, _, _ := strings.Cut(version, "."); return m }
	for _, tool := range []string{"podman", "buildah", "dockerd", "buildkitd"} {
		was, is := before[tool], now[tool]
		if was != "" && is != "" && major(was) != major(is) {
			return tool, was, is
		}
	}
	return "", "", ""
}

// closeDisk records how the job container ended: its disk is kept only if all processes ended in order.
func (b *Backend) closeDisk(name string, rec removal.Recorder, exit int, err error) {
	var e job.Environment
	if ok, err := rec.Facts(&e); err != nil || !ok || e.Disk == nil {
		return
	}
	if err == nil && exit != killed {
		if err := b.Kept.Disks.Close(name); err != nil {
			b.Log.Warnf("Could not record that the storage volume of %s is whole: %v", name, err)
		}
		return
	}
	reason := "processes in its container had to be killed"
	if err != nil {
		reason = "it is not known how its container ended: " + err.Error()
	}
	b.Log.Warnf("The storage volume of %s is not kept for the project's next job: %s.", name, reason)
	if err := b.Kept.Disks.Begin(name); err != nil {
		b.Log.Debugf("kept storage volume: %v", err) // it stays open, so it is not kept
	}
}

// killed is the exit code of a container whose processes had to be killed.
const killed = 137

// disks is the kind of the disk images of storage volumes that are kept.
type disks struct{ *Backend }

func (disks) Name() journal.Kind { return journal.Disk }

func (disks) Traits() removal.Traits { return removal.Traits{Round: round, Patience: diskPatience} }

// diskPatience is how long a cleanup waits for the device of a whole disk. Then it leaves the disk to gc.
const diskPatience = 30 * time.Second

func (k disks) List(_ context.Context, name string) ([]removal.Resource, error) {
	path := k.Kept.Disks.Taken(name)
	if _, err := os.Lstat(path); name == "" || err != nil {
		return nil, nil
	}
	r := journal.Resource{Kind: journal.Disk, Name: path, Answered: true}
	return []removal.Resource{{Resource: r, Job: name, ID: path}}, nil
}

// Adopt implements [removal.Kind]: List has all that exist.
func (disks) Adopt(context.Context, string, journal.Resource) (removal.Resource, bool, error) {
	return removal.Resource{}, false, nil
}

func (disks) Examine(context.Context, *removal.Resource, removal.Recorder) {}

// Remove keeps the disk for the next job if it is whole, as soon as its device is released. Otherwise it removes it.
func (k disks) Remove(ctx context.Context, r removal.Resource, _ removal.Recorder) error {
	whole, open := k.Kept.Disks.Whole(r.Job)
	if open {
		k.Log.Warnf("The storage volume of %s is not kept for the project's next job: it is not known how its container ended.", r.Job)
	}
	image, err := storage.ImageAt(k.Kept.Disks.Image(r.Job)) // the job's folder, which names it too, may be gone
	if !whole || err != nil {
		return k.Kept.Disks.Drop(r.Job)
	}
	err = teardown.RetryAs(ctx, untilReleased, func(context.Context) error {
		device, err := storage.LoopDevice(image)
		if err == nil && device != "" {
			err = fmt.Errorf("its image is still attached to %s", device)
		}
		return err
	})
	if err != nil {
		return err
	}
	return k.Kept.Disks.Return(ctx, r.Job)
}

// untilReleased asks again about a device that is in use.
func untilReleased(err error) teardown.Meaning {
	if err != nil {
		return teardown.Busy
	}
	return teardown.Gone
}

func (disks) Users(context.Context, removal.Resource) []string { return nil }
