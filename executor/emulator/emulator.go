// Package emulator describes QEMU's user-mode emulators, and how the kernel is asked to run a program with
// one of them (binfmt_misc).
package emulator

import (
	"fmt"
	"strings"
)

// Architecture is a processor architecture that QEMU emulates for single programs.
type Architecture struct {
	Name string // Go's name, as in the platforms of images: arm64
	QEMU string // QEMU's name: aarch64
	// The next three identify an ELF program (elf(5)).
	class, order byte
	machine      uint16
}

const (
	bits32, bits64 = 1, 2
	little, big    = 1, 2
)

// architectures are those of image platforms. The numbers are those of scripts/qemu-binfmt-conf.sh in
// QEMU's sources, and of elf(5).
var architectures = []Architecture{
	{"386", "i386", bits32, little, 3},
	{"amd64", "x86_64", bits64, little, 62},
	{"arm", "arm", bits32, little, 40},
	{"arm64", "aarch64", bits64, little, 183},
	{"loong64", "loongarch64", bits64, little, 258},
	{"mips64le", "mips64el", bits64, little, 8},
	{"ppc64le", "ppc64le", bits64, little, 21},
	{"riscv64", "riscv64", bits64, little, 243},
	{"s390x", "s390x", bits64, big, 22},
}

// Find returns an architecture by Go's name.
func Find(name string) (Architecture, bool) {
	for _, a := range architectures {
		if a.Name == name {
			return a, true
		}
	}
	return Architecture{}, false
}

// Program is the file name of the emulator in the folders of containers.
func (a Architecture) Program() string { return "qemu-" + a.QEMU }

// Entry is the name of the registration. It is not QEMU's own name: a job that registers an emulator under that
// name still can.
func (a Architecture) Entry() string { return "emulate-" + a.Name }

// flags: P keeps the program's first argument, O opens the program for the emulator, C gives a set-user-ID program
// its rights, and F opens the emulator at once, so that it need not exist where the program runs
// (https://docs.kernel.org/admin-guide/binfmt-misc.html).
const flags = "POCF"

// Registration is the text for binfmt_misc's file register, if the emulator is at path. It matches executables and
// shared objects, of which position-independent executables are some, of any OS/ABI and its version.
func (a Architecture) Registration(path string) string {
	magic := []byte{0x7f, 'E', 'L', 'F', a.class, a.order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, byte(a.machine), byte(a.machine >> 8)}
	mask := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff}
	if a.order == big {
		for _, b := range [][]byte{magic, mask} {
			b[16], b[17], b[18], b[19] = b[17], b[16], b[19], b[18]
		}
	}
	return fmt.Sprintf(":%s:M::%s:%s:%s:%s", a.Entry(), escaped(magic), escaped(mask), path, flags)
}

func escaped(text []byte) string {
	var b strings.Builder
	for _, c := range text {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}
