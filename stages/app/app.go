// Package app puts the program together: it loads the configuration, makes the logger
// and builds the executor.
package app

import (
	"fmt"
	"io"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
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
