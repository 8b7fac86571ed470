package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/emulator"
	"gitlab-sysbox-executor/executor/job"
)

func TestArchitecturesOfTheConfiguration(t *testing.T) {
	for _, name := range config.Architectures {
		if _, ok := emulator.Find(name); !ok {
			t.Errorf("%s has no emulator", name)
		}
	}
}

func TestEmulators(t *testing.T) {
	self, err := os.ReadFile(containerdir.Self)
	if err != nil {
		t.Fatal(err)
	}
	dynamic := false // the race detector needs the C library
	if static, err := isStatic(containerdir.Self); err != nil {
		t.Fatal(err)
	} else if !static {
		dynamic = true
	}
	for name, c := range map[string]struct {
		file string
		text []byte
		want string // of the error
	}{
		"none":          {"qemu-riscv64", nil, "has neither qemu-aarch64-static nor qemu-aarch64, which run programs for arm64: install"},
		"not a program": {"qemu-aarch64-static", []byte("#!/bin/sh\n"), "is not an ELF program"},
		"a program":     {"qemu-aarch64", self, map[bool]string{true: "needs shared libraries, which no container has"}[dynamic]},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, c.file), c.text, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "shared")
			shared, err := containerdir.Make(path)
			if err != nil {
				t.Fatal(err)
			}
			defer shared.Close()
			err = addEmulators(shared, job.Plan{Emulate: []string{"arm64"}, EmulatorDir: bin})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			from, err := os.Stat(filepath.Join(bin, c.file))
			if err != nil {
				t.Fatal(err)
			}
			if copied, err := os.Stat(filepath.Join(path, "emulators", "qemu-aarch64")); err != nil || os.SameFile(from, copied) || copied.Mode() != 0o755 {
				t.Errorf("%v %v", copied, err)
			}
		})
	}
}
