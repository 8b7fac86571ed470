package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// checkUser: the stages make loop devices, folders of other users and locks.
func checkUser(_ context.Context, m *Machine) []Finding {
	if m.UID == 0 {
		return nil
	}
	return found(Warning, fmt.Sprintf("this command runs as user %d: it cannot see everything, and a Runner of this user has no storage volumes with a limit", m.UID),
		"run it as root, and the Runner, too: sudo gitlab-sysbox-executor doctor")
}

// checkConfiguration reports faults of the configuration and what it opens to jobs.
func checkConfiguration(_ context.Context, m *Machine) []Finding {
	if m.ConfigErr != nil {
		return found(Error, m.ConfigErr.Error()+" (the other checks use the defaults)",
			"correct "+m.ConfigPath+": every stage of a job reads it and fails; config.example.toml explains each key")
	}
	var all []Finding
	for _, text := range m.Config.Unsafe() {
		all = append(all, Finding{Severity: Warning, Text: "hardening.allow_unsafe permits every job " + text,
			Next: "remove this key from " + m.ConfigPath + " unless every job may do so (docs/security.md)"})
	}
	if m.Config.Engine.Insecure && strings.HasPrefix(m.Config.Engine.Host, "tcp://") {
		all = append(all, Finding{Severity: Warning, Text: "engine.insecure: who reaches " + m.Config.Engine.Host + " is root on the engine's machine",
			Next: "set engine.tls_ca, tls_cert and tls_key, and remove engine.insecure (docs/engine.md)"})
	}
	switch _, err := os.Stat(m.ConfigPath); {
	case errors.Is(err, fs.ErrNotExist):
		all = append(all, Finding{Severity: OK, Text: m.ConfigPath + " does not exist: the defaults apply"})
	case len(all) == 0:
		all = append(all, Finding{Severity: OK, Text: m.ConfigPath})
	}
	return all
}
