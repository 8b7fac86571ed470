// Package app puts the program together: it loads the configuration, makes the logger
// and builds the executor.
package app

import (
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/docker"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/kept"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/sharedfill"
	"gitlab-sysbox-executor/executor/statedir"
)

// ExitError carries an exit code that is neither of the Runner's two; its cause
// has been told already.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// App is what every command has at hand. A flag sets ConfigPath; Load sets the rest.
type App struct {
	ConfigPath string
	Config     *config.Config
	Log        *logrus.Logger
}

// Load reads the configuration and makes the logger, which writes to log. When the
// configuration cannot be read, there is a logger all the same.
func (a *App) Load(log io.Writer) (err error) {
	a.Log = NewLog(log, "info")
	if a.Config, err = config.Load(a.ConfigPath); err != nil {
		return err
	}
	a.Log = NewLog(log, a.Config.LogLevel)
	return nil
}

// withEngine connects to the engine.
func (a *App) withEngine(do func(*engine.Engine) error) error {
	where := a.Config.Engine
	e, err := engine.NewTLS(where.Host, time.Duration(where.Timeout), engine.TLS{CA: where.TLSCA, Cert: where.TLSCert, Key: where.TLSKey})
	if err != nil {
		return err
	}
	defer e.Close()
	return do(e)
}

// WithExecutor connects to the engine and builds the executor.
func (a *App) WithExecutor(do func(*executor.Executor) error) error {
	return a.withEngine(func(e *engine.Engine) error {
		return do(&executor.Executor{
			Engine:         e,
			StateDir:       a.Config.StateDir,
			KillGrace:      time.Duration(a.Config.Run.KillGrace),
			CleanupTimeout: time.Duration(a.Config.Cleanup.Timeout),
			GCInterval:     time.Duration(a.Config.GC.Interval),
			CacheMounts:    cacheMounts(a.Config),
			Disk:           disk(a.Config),
			Log:            a.Log,
		})
	})
}

// WithImages connects to the engine and builds what changes the shared images.
func (a *App) WithImages(do func(*sharedfill.Filler) error) error {
	return a.withEngine(func(e *engine.Engine) error {
		dir := statedir.Dir(a.Config.StateDir)
		volumes := &kept.Store{State: dir, Engine: e, Log: a.Log}
		backend := &docker.Backend{Engine: e, Dir: dir, Used: volumes.Used, Log: a.Log}
		return do(&sharedfill.Filler{
			Shared:         &shared.Store{State: dir, Engine: e, Host: e.Host(), Kept: volumes, Log: a.Log},
			Engine:         e,
			Inside:         backend.Inside,
			KillGrace:      time.Duration(a.Config.Run.KillGrace),
			CleanupTimeout: time.Duration(a.Config.Cleanup.Timeout),
			Log:            a.Log,
		})
	})
}

// cacheMounts is how many bytes of them each project keeps; 0 for any number.
func cacheMounts(cfg *config.Config) int64 {
	if !cfg.KeepCacheMounts() {
		return 0 // what was kept before goes with its age
	}
	return int64(cfg.Storage.CacheMountsSize)
}

// disk is how much of the disk may outlive jobs.
func disk(c *config.Config) executor.Disk {
	return executor.Disk{
		KeepVolumes: time.Duration(c.GC.KeepVolumes), MostVolumes: c.GC.MostVolumes, VolumeSize: c.GC.VolumeSize,
		KeepImages: time.Duration(c.GC.KeepImages), MinFree: int64(c.Storage.MinFree),
	}
}
