package docker

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/emulator"
	"gitlab-sysbox-executor/executor/job"
)

// addEmulators copies the emulators of the job's other architectures into the folder that its containers share.
func addEmulators(shared *containerdir.Dir, p job.Plan) error {
	if len(p.Emulate) == 0 {
		return nil
	}
	folder := path.Base(agent.EmulatorsDir)
	if err := shared.Mkdir(folder); err != nil {
		return err
	}
	for _, name := range p.Emulate {
		a, ok := emulator.Find(name)
		if !ok {
			return fmt.Errorf("job.emulate: the architecture %q is not known", name)
		}
		program, err := findEmulator(p.EmulatorDir, a)
		if err != nil {
			return err
		}
		if err := shared.CopyProgram(program, path.Join(folder, a.Program())); err != nil {
			return err
		}
	}
	return nil
}

// findEmulator returns the path of an emulator on this machine. It has to be static, because a container does not have
// the machine's libraries.
func findEmulator(dir string, a emulator.Architecture) (string, error) {
	const advice = "install QEMU's static user-mode emulators (Debian 12: qemu-user-static, Debian 13: qemu-user), or set job.emulator_dir to their folder"
	var dynamic string
	for _, name := range []string{a.Program() + "-static", a.Program()} {
		program := filepath.Join(dir, name)
		static, err := isStatic(program)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("job.emulate: the emulator for %s: %w", a.Name, err)
		case static:
			return program, nil
		default:
			dynamic = program
		}
	}
	if dynamic != "" {
		return "", fmt.Errorf("job.emulate: %s needs shared libraries, which no container has: %s", dynamic, advice)
	}
	return "", fmt.Errorf("job.emulate: %s has neither %s-static nor %[2]s, which run programs for %s: %s", dir, a.Program(), a.Name, advice)
}

// isStatic reports whether an ELF program needs no program interpreter (ld.so(8)).
func isStatic(program string) (bool, error) {
	f, err := os.Open(program)
	if err != nil {
		return false, err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return false, fmt.Errorf("%s is not an ELF program: %w", program, err)
	}
	return !slices.ContainsFunc(e.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}

// reportEmulators logs whether programs for other architectures run in the job.
func (b *Backend) reportEmulators(architectures []string, fault string) {
	names := strings.Join(architectures, ", ")
	switch {
	case len(architectures) == 0:
	case fault != "":
		b.Log.Warnf("Programs for %s do not run in this job, although the runner's administrator offers it (job.emulate): %s.", names, fault)
	default:
		b.Log.Infof("Programs for %s run in this job with QEMU.", names)
	}
}
