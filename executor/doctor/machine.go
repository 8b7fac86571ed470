package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
)

// Machine is what the checks see.
type Machine struct {
	// Root is a folder in front of the system's own paths, such as /proc/sys and /etc; empty for
	// the machine itself.
	Root string
	// Config is the configuration, or the default if ConfigErr is set. ConfigPath is its file.
	Config     *config.Config
	ConfigPath string
	ConfigErr  error
	// Engine is the configured engine.
	Engine interface {
		Info(ctx context.Context) (engine.Info, error)
	}
	// Cluster is the configured cluster with the executor's account, instead of Engine. Reader is the same with an account
	// that may read nodes and classes, if there is one.
	Cluster, Reader Cluster
	// Self is the path of this program, and Version its version.
	Self, Version string
	// Volumes is the folder of file system images of jobs' volumes.
	Volumes string
	// RunnerConfig is the path of GitLab Runner's configuration file.
	RunnerConfig string
	// Jobs lists the jobs on this machine.
	Jobs interface {
		Jobs(ctx context.Context) ([]overview.JobState, error)
	}
	// Collect is gc.
	Collect func(context.Context, removal.Options) ([]removal.Collected, error)
	// Command runs a program of the machine and returns its output.
	Command func(ctx context.Context, name string, args ...string) ([]byte, error)
	// UID is the user of this process.
	UID int

	asked sync.Once
	info  engine.Info
	api   string // the API server's version
	err   error

	sysboxOnce sync.Once
	sysbox     string
}

// path is a path of the system.
func (m *Machine) path(path string) string { return filepath.Join(m.Root, path) }

// text is the content of a small system file without white space around it; empty if it cannot be
// read.
func (m *Machine) text(path string) string {
	text, err := os.ReadFile(m.path(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// answerTime limits the wait for the engine: a person waits for the result.
const answerTime = 15 * time.Second

// engineInfo asks the engine once.
func (m *Machine) engineInfo(ctx context.Context) (engine.Info, error) {
	m.asked.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		m.info, m.err = m.Engine.Info(ctx)
	})
	return m.info, m.err
}

// reached is why the engine or the API server does not answer; nil if it does.
func (m *Machine) reached(ctx context.Context) (err error) {
	if m.Cluster != nil {
		_, err = m.apiVersion(ctx)
	} else {
		_, err = m.engineInfo(ctx)
	}
	return err
}

// local reports whether the engine runs on this machine.
func (m *Machine) local() bool { return strings.HasPrefix(m.Config.Engine.Host, "unix://") }

// engineFolder is the engine's data root if this process can see it; otherwise empty.
func (m *Machine) engineFolder(ctx context.Context) string {
	info, err := m.engineInfo(ctx)
	if err != nil || !m.local() {
		return ""
	}
	if s, err := os.Stat(info.RootDir); err != nil || !s.IsDir() {
		return ""
	}
	return info.RootDir
}

func (m *Machine) state() statedir.Dir { return statedir.Dir(m.Config.StateDir) }

// existing is the nearest folder at or above path that exists.
func existing(path string) string {
	for {
		if s, err := os.Stat(path); err == nil && s.IsDir() || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
