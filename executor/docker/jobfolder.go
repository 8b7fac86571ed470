package docker

import (
	"fmt"
	"path"
	"path/filepath"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentprogram"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/executor/toolconf"
)

// The parts of the job's folder on the host that its containers see. All files are written
// before the container that sees them is made, and never changed. The agent writes in the
// container what becomes known later.
const (
	sharedFolder   = "container" // mounted at agent.Dir in all containers
	settingsFolder = "settings"  // one folder for each container; its files are mounted one by one
	agentFile      = "agent"
)

// makeFolder makes the job's folder on the host. The parts that containers see are
// readable for everyone, because the remapped root of a container has to read them.
// They contain no secrets.
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
	if err := agentprogram.Write(shared, agentFile); err != nil {
		return err
	}
	if err := shared.WriteFile(jobcontainer.RuncFile, jobcontainer.RuncText, 0o755); err != nil {
		return err
	}
	if err := addEmulators(shared, p); err != nil {
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

// settingsPath is the host folder with the settings of one of the job's containers.
func (b *Backend) settingsPath(i job.Identity, container string) string {
	return filepath.Join(b.Dir.Job(i.Name()), settingsFolder, container)
}

// writeSettings writes the configuration of the container engines and of systemd for a
// container that is about to be made, and returns its mounts.
func (b *Backend) writeSettings(i job.Identity, container string, s storage.Settings, limits sysbox.Limits) ([]engine.Mount, error) {
	at := b.settingsPath(i, container)
	dir, err := containerdir.Make(at)
	if err != nil {
		return nil, fmt.Errorf("the settings of container %s: %w", container, err)
	}
	defer dir.Close()
	files := toolconf.Files(s, limits)
	for _, f := range append(files, storage.File{Name: systemdFile, Text: string(sysbox.SystemdConfig(jobcontainer.ToolDefaults("")))}) {
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

// sharedMount is the mount of the job's folder that all of its containers have.
func (b *Backend) sharedMount(i job.Identity) engine.Mount {
	return engine.Mount{Kind: engine.Bind, Source: filepath.Join(b.Dir.Job(i.Name()), sharedFolder), Target: agent.Dir, ReadOnly: true}
}
