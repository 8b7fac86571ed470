package containerdir

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func made(t *testing.T) (*Dir, string) {
	t.Helper()
	old := syscall.Umask(0o077) // an administrator's shell may have it
	t.Cleanup(func() { syscall.Umask(old) })
	path := filepath.Join(t.TempDir(), "container")
	d, err := Make(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func TestCopyProgram(t *testing.T) {
	for name, tc := range map[string]struct {
		mode os.FileMode
		link bool // the program is named by a symbolic link
	}{
		"for everybody":      {mode: 0o755},
		"for root":           {mode: 0o700},
		"by a symbolic link": {mode: 0o755, link: true},
	} {
		t.Run(name, func(t *testing.T) {
			d, path := made(t)
			program := bytes.Repeat([]byte("program\x00"), 1<<17)
			source := filepath.Join(t.TempDir(), "runner")
			if err := os.WriteFile(source, program, tc.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(source, tc.mode); err != nil {
				t.Fatal(err)
			}
			tool := source
			if tc.link {
				tool = source + "-link"
				if err := os.Symlink(source, tool); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Mkdir("bin"); err != nil {
				t.Fatal(err)
			}
			if err := d.CopyProgram(tool, "bin/runner"); err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(path, "bin", "runner")
			if text, err := os.ReadFile(copied); err != nil || !bytes.Equal(text, program) {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			for file, want := range map[string]os.FileMode{path: 0o755, filepath.Dir(copied): 0o755, copied: 0o755, source: tc.mode} {
				info, err := os.Lstat(file)
				if err != nil || info.Mode().Perm() != want || info.Mode().Type()&os.ModeSymlink != 0 {
					t.Errorf("%s: %v %v", file, info.Mode(), err)
				}
			}
			// Whoever writes to the copy writes to nothing of the host's.
			if err := os.WriteFile(copied, []byte("poison"), 0o755); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(source); err != nil || !bytes.Equal(text, program) {
				t.Errorf("the host's program: %d bytes, %v", len(text), err)
			}
		})
	}
}

func TestHostileNothingPlantedIsWrittenThrough(t *testing.T) {
	d, path := made(t)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"conf": victim, "new": filepath.Join(outside, "new"), "bin": outside, "inside": "target"} {
		if err := os.Symlink(to, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(victim, filepath.Join(path, "linked")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"conf", "new", "bin/x", "bin/victim", "inside", "linked", "../escaped", "/escaped"} {
		if err := d.WriteFile(name, []byte("poison"), 0o644); err == nil {
			t.Errorf("%s was written", name)
		}
		if err := d.CopyProgram(Self, name); err == nil {
			t.Errorf("%s was copied to", name)
		}
	}
	if err := d.Mkdir("bin/y"); err == nil {
		t.Error("a folder was made outside")
	}
	left, err := os.ReadDir(outside)
	if text, _ := os.ReadFile(victim); err != nil || len(left) != 1 || string(text) != "mine" {
		t.Errorf("%v %q %v", left, text, err)
	}
	if _, err := os.Lstat(filepath.Join(path, "target")); err == nil {
		t.Error("a link inside was followed")
	}
}

// A folder that is there already may have been seen by a container.
func TestMakeTakesNoOldFolder(t *testing.T) {
	d, path := made(t)
	d.Close()
	if _, err := Make(path); !os.IsExist(err) {
		t.Error(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(link); !os.IsExist(err) {
		t.Error(err)
	}
}

// What a job costs for it, beside reading and writing as much.
func BenchmarkCopyProgram(b *testing.B) {
	dir := b.TempDir()
	for n := 0; b.Loop(); n++ {
		d, err := Make(filepath.Join(dir, string(rune('a'+n%26))+string(rune('a'+n/26%26))+string(rune('a'+n/676))))
		if err != nil {
			b.Fatal(err)
		}
		if err := d.CopyProgram(Self, "agent"); err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}
