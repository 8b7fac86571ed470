// Package app assembles the program: it loads the configuration, and creates the loggers and the
// executor.
package app

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/imagepull"
)

// ExitError is an exit code other than the Runner's two. Its cause has already been logged.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// App is what all commands share. Flags set ConfigPath and LogFormat; Load sets the other fields.
type App struct {
	ConfigPath string
	LogFormat  string // overrides the configuration's unless empty
	Config     *config.Config
	Log        *logrus.Logger
	operator   *operator       // nil before Load
	meter      imagepull.Meter // nil unless the log is a terminal
}

// Load reads the configuration and creates the loggers. Log gets the messages for the command's user, who
// is the job's author if the command is a stage. There is a logger even if the configuration cannot be
// read.
func (a *App) Load(log io.Writer) (err error) {
	if t := terminalOf(log); t != nil {
		b := &bar{to: log, width: t.width}
		log, a.meter = b, b
	}
	a.Log = NewLog(log, "info")
	if a.Config, err = config.Load(a.ConfigPath); err != nil {
		return err
	}
	if a.LogFormat != "" {
		if !slices.Contains(config.LogFormats, a.LogFormat) {
			return fmt.Errorf("--log-format %q is not possible; write one of %s", a.LogFormat, strings.Join(config.LogFormats, ", "))
		}
		a.Config.LogFormat = a.LogFormat
	}
	a.Log = NewLog(log, a.Config.LogLevel)
	a.operator = newOperator(a.Config)
	a.Log.AddHook(a.operator)
	return nil
}

// LoadForOperator is Load for a command whose messages go to the administrator.
func (a *App) LoadForOperator(log io.Writer) error {
	if err := a.Load(log); err != nil {
		return err
	}
	if a.Config.LogFormat == "json" {
		a.Log.SetFormatter(jsonLines())
	}
	if a.Config.LogFile == config.LogJournal && os.Getenv("JOURNAL_STREAM") != "" {
		a.operator.log.SetOutput(log) // which systemd writes to the journal (systemd.exec(5))
		a.operator.toJournal, a.operator.copies = false, false
	}
	return nil
}

// Report reports the error that ends the command.
func (a *App) Report(err error) {
	log := NewLog(os.Stderr, "info")
	if a.operator != nil {
		log.AddHook(a.operator)
	}
	log.Error(err)
}
