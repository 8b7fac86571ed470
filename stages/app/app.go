// Package app assembles the program: it loads the configuration, and creates the logger and the
// executor.
package app

import (
	"fmt"
	"io"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/imagepull"
)

// ExitError is an exit code other than the Runner's two. Its cause has already been logged.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// App is what all commands share. A flag sets ConfigPath; Load sets the other fields.
type App struct {
	ConfigPath string
	Config     *config.Config
	Log        *logrus.Logger
	meter      imagepull.Meter // nil unless the log is a terminal
}

// Load reads the configuration and creates the logger, which writes to log. There is a
// logger even if the configuration cannot be read.
func (a *App) Load(log io.Writer) (err error) {
	if t := terminalOf(log); t != nil {
		b := &bar{to: log, width: t.width}
		log, a.meter = b, b
	}
	a.Log = NewLog(log, "info")
	if a.Config, err = config.Load(a.ConfigPath); err != nil {
		return err
	}
	a.Log = NewLog(log, a.Config.LogLevel)
	return nil
}
