package docker

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

func inode(t *testing.T, path string) (inode, links uint64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return s.Ino, uint64(s.Nlink)
}

// A process that escapes a read-only mount must not reach the inode of a program of the
// host.
func TestHostileNoInodeOfTheHostsProgramsIsInAContainer(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "gitlab-runner")
	if err := os.WriteFile(tool, []byte("the host's"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Dir: statedir.Dir(filepath.Join(dir, "state"))}
	p := job.Plan{Helper: job.Helper{Tool: tool, ToolName: "gitlab-runner"}}
	if err := b.makeFolder(p); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(b.Dir.Job(p.Identity.Name()), sharedFolder)
	for file, host := range map[string]string{
		filepath.Join(shared, agentFile):                    self,
		filepath.Join(shared, toolsFolder, "gitlab-runner"): tool,
	} {
		ours, links := inode(t, file)
		theirs, _ := inode(t, host)
		if ours == theirs || links != 1 {
			t.Errorf("%s is inode %d with %d links, %s is inode %d", file, ours, links, host, theirs)
		}
	}
}

// The host writes nothing into a folder that a container has already seen.
func TestHostilePlantedLinkIsNotFollowed(t *testing.T) {
	b := &Backend{Dir: statedir.Dir(t.TempDir())}
	var p job.Plan
	if err := b.makeFolder(p); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, b.settingsPath(p.Identity, "job")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.writeSettings(p.Identity, "job", p.Storage, jobcontainer.CertainLimits(p.Resources)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a link: %v", err)
	}
	if err := b.makeFolder(p); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if written, err := os.ReadDir(outside); err != nil || len(written) > 0 {
		t.Errorf("%v %v", written, err)
	}
}

// Each container of a job has its own settings. The inspection of the job container must
// not change the settings of containers that have already started.
func TestHostileServicesKeepTheirSettings(t *testing.T) {
	b := &Backend{Dir: statedir.Dir(t.TempDir())}
	m := &made{admitted: new(admitted), Plan: job.Plan{Storage: storage.Settings{Driver: "vfs", TMPDIR: "/var/lib/containers/tmp"}, Volume: job.Volume{Overlay: true}}}
	if err := b.makeFolder(m.Plan); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, container := range []string{"job", "service"} {
		mounts, err := b.writeSettings(m.Identity, container, m.Storage, jobcontainer.CertainLimits(config.Resources{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mounts {
			text, err := os.ReadFile(m.Source)
			if err != nil || !m.ReadOnly {
				t.Errorf("%+v: %v", m, err)
			}
			seen[container+m.Target] = string(text)
		}
	}
	if !strings.Contains(seen["service"+storage.SystemConfig], `driver = "vfs"`) {
		t.Errorf("%q", seen)
	}
	before := visible(t, b.Dir.Job(m.Identity.Name()))
	if len(before) <= len(seen) {
		t.Errorf("%d files, of which %d are mounted one by one", len(before), len(seen))
	}
	s := jobcontainer.Settled(m.Plan, agent.InspectResponse{}, m.generation.Stores(), nil)
	if err := b.noteVolume(m, s.Driver, agent.InspectResponse{}); err != nil || s.Driver != "overlay" || s.Enforced()["STORAGE_DRIVER"] != "overlay" {
		t.Errorf("%+v %v", s, err)
	}
	if after := visible(t, b.Dir.Job(m.Identity.Name())); !maps.Equal(before, after) {
		t.Errorf("before %d files, after %d", len(before), len(after))
	}
}

// visible has the content of all files that containers see in a job's folder, by path.
func visible(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, part := range []string{sharedFolder, settingsFolder} {
		err := fs.WalkDir(os.DirFS(folder), part, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(filepath.Join(folder, path))
			all[path] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// noStorage is a storage backend that can make no volume.
type noStorage struct{ storage.Backend }

func (noStorage) Make(context.Context, storage.Request) (*storage.Volume, error) {
	return nil, errors.New("no volume")
}

func (noStorage) Name() string { return "none" }

// A prepare that cannot make a part ends with an error, and holds nothing.
func TestPartsThatCannotBeMade(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	e, err := engine.New("unix:///nonexistent/docker.sock", time.Second, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var p job.Plan
	j, _, err := journal.Open(dir.Journals(), p.Identity.Name())
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{Engine: e, Dir: dir, Kept: &kept.Store{}}
	if _, release, err := b.makeParts(t.Context(), p, &admitted{backend: noStorage{}}, nil, engine.Info{}, j); err == nil || release != nil {
		t.Errorf("%v", err)
	}
}
