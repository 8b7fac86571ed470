// Package app puts the program together: it loads the configuration, makes the logger
// and builds the executor.
package stages

import (
	"fmt"
	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/engine"
	"io"
	"time"

	"github.com/sirupsen/logrus"
)

// exitError carries an exit code that is neither of the Runner's two; its cause
// has been told already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// app is what every command has at hand. Its flags set the path; load the rest.
type app struct {
	configPath string
	config     *config.Config
	log        *logrus.Logger
}

func (a *app) load(log io.Writer) (err error) {
	a.log = jobLog(log, "info")
	if a.config, err = config.Load(a.configPath); err != nil {
		return err
	}
	a.log = jobLog(log, a.config.LogLevel)
	return nil
}

// withExecutor connects to the engine.
func (a *app) withExecutor(do func(*executor.Executor) error) error {
	where := a.config.Engine
	e, err := engine.NewTLS(where.Host, time.Duration(where.Timeout), engine.TLS{CA: where.TLSCA, Cert: where.TLSCert, Key: where.TLSKey})
	if err != nil {
		return err
	}
	defer e.Close()
	return do(&executor.Executor{
		Engine:         e,
		StateDir:       a.config.StateDir,
		KillGrace:      time.Duration(a.config.Run.KillGrace),
		CleanupTimeout: time.Duration(a.config.Cleanup.Timeout),
		GCInterval:     time.Duration(a.config.GC.Interval),
		CacheMounts:    cacheMounts(a.config),
		Disk:           disk(a.config.GC),
		Log:            a.log,
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
func disk(g config.GC) executor.Disk {
	return executor.Disk{KeepVolumes: time.Duration(g.KeepVolumes), MostVolumes: g.MostVolumes, VolumeSize: g.VolumeSize}
}
