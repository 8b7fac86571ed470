package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
)

// JobRights are the rights of the job container. Services have no devices.
func JobRights(h config.Hardening, c config.Container) (engine.Rights, error) {
	r, err := ServiceRights(h)
	if err != nil {
		return r, err
	}
	r.Sysctls, r.GPUs = config.Pairs(h.Sysctls), c.GPUs
	for _, text := range c.Devices {
		d, _ := config.ParseDevice(text)
		r.Devices = append(r.Devices, engine.Device(d))
	}
	return r, nil
}

// ServiceRights are the rights of services and of the helper container.
func ServiceRights(h config.Hardening) (engine.Rights, error) {
	r := engine.Rights{CapAdd: h.CapAdd, CapDrop: h.CapDrop}
	for _, text := range h.SecurityOpt {
		if file, ok := strings.CutPrefix(text, "seccomp="); ok && filepath.IsAbs(file) {
			profile, err := seccomp(file)
			if err != nil {
				return r, fmt.Errorf("hardening.security_opt: %w", err)
			}
			text = "seccomp=" + profile
		}
		r.SecurityOpt = append(r.SecurityOpt, text)
	}
	return r, nil
}

// seccomp returns the text of a profile, because the engine does not accept a file.
func seccomp(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the seccomp profile: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return "", fmt.Errorf("the seccomp profile %s is not JSON: %w", file, err)
	}
	return b.String(), nil
}
