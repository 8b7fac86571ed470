package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// fit fits file as a container's /etc/subuid, with this /etc/passwd and no /etc/subgid.
func fit(file, passwd string) error {
	at := map[string]string{sysbox.SubUIDFile: file, sysbox.PasswdFile: passwd, sysbox.SubGIDFile: passwd + "-none"}
	return sysbox.FitFiles(65536, func(path string) ([]byte, error) { return readIDs(at[path]) },
		func(path string, text []byte) error { return writeIDs(at[path], text) })
}

func TestFitSubIDFile(t *testing.T) {
	dir := t.TempDir()
	passwd := filepath.Join(dir, "passwd")
	if err := os.WriteFile(passwd, []byte("builder:x:1000:1001::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ in, want string }{
		"beyond the namespace": {"builder:100000:65536\n", "builder:1:999\nbuilder:1001:64535\n"},
		"fits":                 {"builder:1:999", "builder:1:999"},
		"empty":                {"", ""},
		"too large":            {strings.Repeat("builder:100000:65536\n", 4000), strings.Repeat("builder:100000:65536\n", 4000)},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "subuid")
			if err := os.WriteFile(file, []byte(c.in), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := fit(file, passwd); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != c.want {
				t.Errorf("%.200q, %v", got, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Error(info, err)
			}
		})
	}
}

// An image may have something other than a plain file at the path. It is left alone.
func TestFitSubIDFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	const text = "builder:100000:65536\n"
	if err := os.WriteFile(real, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if got, err := os.ReadFile(real); err != nil || string(got) != text {
			t.Errorf("a link was followed: %q, %v", got, err)
		}
	}()
	for _, file := range []string{link, fifo, dir, filepath.Join(dir, "missing"), "/dev/null"} {
		if err := fit(file, filepath.Join(dir, "passwd")); err != nil {
			t.Error(file, err)
		}
	}
}
