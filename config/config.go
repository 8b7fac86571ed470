// Package config reads the executor's configuration file and defines its keys, their
// defaults and their possible values.
//
// Each section has its own file with its type, its defaults and its check. A new key is
// four lines: a field with a toml tag, its default, a line in the section's check, and its
// description in config.example.toml. The tests name any missing one.
//
// A field is a string, a bool, an int64, a float64, a []string, a [Size], an [Amount], a
// [Duration], or another struct, which is a section. The tag secret:"true" keeps the value
// of a key out of the errors about TOML's syntax; the check of the key must do the same.
package config

import (
	"strings"
	"unicode"
)

// DefaultPath is the file that [Load] reads when it gets no path.
const DefaultPath = "/etc/gitlab-sysbox-executor/config.toml"

// Config is the whole file. [Load] and [Default] return possible values only.
type Config struct {
	// Backend is where jobs run: [BackendDocker] or [BackendKubernetes].
	Backend string `toml:"backend"`
	// Runtime is the engine's name of the OCI runtime.
	Runtime string `toml:"runtime"`
	// StateDir is an absolute path: the host's folder for journals and locks.
	StateDir string `toml:"state_dir"`
	// LogLevel is one of logrus's level names, in lower case.
	LogLevel string `toml:"log_level"`
	// LogFile is where the operator's log goes: [LogJournal], an absolute path, or "" for none.
	LogFile string `toml:"log_file"`
	// LogFormat is one of LogFormats.
	LogFormat string `toml:"log_format"`

	Engine     Engine     `toml:"engine"`
	Kubernetes Kubernetes `toml:"kubernetes"`
	Job        Job        `toml:"job"`
	Container  Container  `toml:"container"`
	Resources  Resources  `toml:"resources"`
	Hardening  Hardening  `toml:"hardening"`
	Network    Network    `toml:"network"`
	Storage    Storage    `toml:"storage"`
	Images     Images     `toml:"images"`
	Builds     Builds     `toml:"builds"`
	Cache      Cache      `toml:"cache"`
	Helper     Helper     `toml:"helper"`
	Services   Services   `toml:"services"`
	Run        Run        `toml:"run"`
	Cleanup    Cleanup    `toml:"cleanup"`
	GC         GC         `toml:"gc"`
}

// Default returns a new configuration with the defaults of every key.
func Default() *Config {
	return &Config{
		Backend:  BackendDocker,
		Runtime:  "sysbox-runc",
		StateDir: "/var/lib/gitlab-sysbox-executor",
		LogLevel: "info",
		LogFile:  LogJournal, LogFormat: "text",

		Engine:     defaultEngine(),
		Kubernetes: defaultKubernetes(),
		Job:        defaultJob(),
		Container:  defaultContainer(),
		Resources:  defaultResources(),
		Hardening:  defaultHardening(),
		Network:    defaultNetwork(),
		Storage:    defaultStorage(),
		Images:     defaultImages(),
		Builds:     defaultBuilds(),
		Cache:      defaultCache(),
		Helper:     defaultHelper(),
		Services:   defaultServices(),
		Run:        defaultRun(),
		Cleanup:    defaultCleanup(),
		GC:         defaultGC(),
	}
}

// logLevels are logrus's: https://pkg.go.dev/github.com/sirupsen/logrus#ParseLevel.
var logLevels = []string{"trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"}

// LogJournal is the value of log_file for systemd's journal.
const LogJournal = "journal"

// LogFormats are the formats of the operator's log.
var LogFormats = []string{"text", "json"}

func (c *Config) check(k *checker) {
	k.runtime("runtime", c.Runtime)
	k.absolute("state_dir", c.StateDir, "/var/lib/gitlab-sysbox-executor")
	k.oneOf("log_level", c.LogLevel, logLevels)
	if c.LogFile != "" && c.LogFile != LogJournal {
		k.absolute("log_file", c.LogFile, "/var/log/gitlab-sysbox-executor.log")
	}
	k.oneOf("log_format", c.LogFormat, LogFormats)

	c.Engine.check(k)
	c.Job.check(k)
	c.checkContainer(k)
	c.Resources.check(k, "resources")
	c.Hardening.check(k)
	c.Network.check(k)
	c.Storage.check(k)
	c.checkImages(k)
	c.Builds.check(k)
	c.Cache.check(k)
	c.Helper.check(k)
	c.checkServices(k)
	c.Run.check(k)
	c.Cleanup.check(k)
	c.GC.check(k)
	c.checkKubernetes(k)
	c.checkBackend(k)
	c.checkUnsafe(k)
}

func (k *checker) runtime(key, name string) {
	if name == "" || strings.ContainsFunc(name, blank) {
		k.bad(key, `%q is not the name of a runtime; write for example "sysbox-runc"`, name)
	}
}

// blank reports whether r is not allowed in a name.
func blank(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
