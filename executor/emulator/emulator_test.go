package emulator

import (
	"debug/elf"
	"testing"
)

// The texts are those of Debian's qemu-user-static (/usr/lib/binfmt.d), except for the name, the path, the flags and the
// mask of the OS/ABI's version.
func TestRegistration(t *testing.T) {
	const littleMask = `\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`
	const bigMask = `\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff`
	for name, want := range map[string]string{
		"arm64":   `:emulate-arm64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` + littleMask + `:/e/qemu-aarch64:POCF`,
		"s390x":   `:emulate-s390x:M::\x7f\x45\x4c\x46\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16:` + bigMask + `:/e/qemu-s390x:POCF`,
		"386":     `:emulate-386:M::\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00:` + littleMask + `:/e/qemu-i386:POCF`,
		"loong64": `:emulate-loong64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x02\x01:` + littleMask + `:/e/qemu-loongarch64:POCF`,
	} {
		a, ok := Find(name)
		if got := a.Registration("/e/" + a.Program()); !ok || got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a, ok := Find("sparc"); ok {
		t.Error(a)
	}
}

func TestMachines(t *testing.T) {
	want := map[string]elf.Machine{
		"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64, "loong64": elf.EM_LOONGARCH,
		"mips64le": elf.EM_MIPS, "ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
	}
	for _, a := range architectures {
		if elf.Machine(a.machine) != want[a.Name] {
			t.Errorf("%s: %v", a.Name, elf.Machine(a.machine))
		}
		delete(want, a.Name)
	}
	if len(want) > 0 {
		t.Error(want)
	}
}
