package docker

import (
	"fmt"
	"path"
	"path/filepath"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// What of the job's folder on the host its containers see. All of it is written
// before the container that sees it is made, and never again: what becomes known
// later the agent writes in the container.
const (
	sharedFolder   = "container" // at agent.Dir in all of them
	settingsFolder = "settings"  // a folder for each container, whose files are mounted one by one
	agentFile      = "agent"
)

// makeFolder makes the job's folder on the host. The remapped root of a container
// has to reach the parts that it sees, which are readable for everyone; no secret is in them.
func (b *Backend) makeFolder(p job.Plan) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the job's folder: %w", err)
		}
	}()
	if err := b.Dir.MakeJob(p.Identity.Name()); err != nil {
		return err
	}
	settings, err := containerdir.Make(filepath.Join(b.Dir.Job(p.Identity.Name()), settingsFolder))
	if err != nil {
		return err
	}
	settings.Close()
	shared, err := containerdir.Make(filepath.Join(b.Dir.Job(p.Identity.Name()), sharedFolder))
	if err != nil {
		return err
	}
	defer shared.Close()
	if err := shared.CopyProgram(containerdir.Self, agentFile); err != nil {
		return err
	}
	if err := shared.WriteFile(runcFile, runcText, 0o755); err != nil {
		return err
	}
	if p.Helper.Tool == "" {
		return nil
	}
	if err := shared.Mkdir(toolsFolder); err != nil {
		return err
	}
	return shared.CopyProgram(p.Helper.Tool, path.Join(toolsFolder, p.Helper.ToolName))
}

// settingsPath is the folder on the host with the settings of one of the job's containers.
func (b *Backend) settingsPath(i job.Identity, container string) string {
	return filepath.Join(b.Dir.Job(i.Name()), settingsFolder, container)
}

// writeSettings writes what the tools and systemd in a container that is about to be
// made are told, and returns the mounts of it. Its name tells it from the job's others.
func (b *Backend) writeSettings(i job.Identity, container string, s storage.Settings, limits sysbox.Limits) ([]engine.Mount, error) {
	at := b.settingsPath(i, container)
	dir, err := containerdir.Make(at)
	if err != nil {
		return nil, fmt.Errorf("the settings of container %s: %w", container, err)
	}
	defer dir.Close()
	files := toolconf.Files(s, limits)
	for _, f := range append(files, storage.File{Name: systemdFile, Text: string(sysbox.SystemdConfig(toolDefaults("")))}) {
		if err := dir.WriteFile(f.Name, []byte(f.Text), 0o644); err != nil {
			return nil, fmt.Errorf("the settings of container %s: %w", container, err)
		}
	}
	var mounts []engine.Mount
	for _, f := range files {
		mounts = append(mounts, engine.Mount{Kind: engine.Bind, Source: filepath.Join(at, f.Name), Target: f.Path, ReadOnly: true})
	}
	return mounts, nil
}

// sharedMount is what all of the job's containers see of its folder.
func (b *Backend) sharedMount(i job.Identity) engine.Mount {
	return engine.Mount{Kind: engine.Bind, Source: filepath.Join(b.Dir.Job(i.Name()), sharedFolder), Target: agent.Dir, ReadOnly: true}
}
