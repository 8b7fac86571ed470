package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The files have the wanted permissions whatever the umask, and a second run replaces them.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"first", "second"} {
		other := filepath.Join(t.TempDir(), "tmp")
		request, err := json.Marshal(InstallRequest{
			Files: []InstallFile{{"runc", text, 0o755}, {"settings/a.conf", text, 0o644}}, Folders: []Folder{{Path: other, Mode: 0o1777}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := Install(dir, string(request)); err != nil {
			t.Fatal(err)
		}
		if err := Installed(dir); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(other); err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o777 {
			t.Errorf("%v, %v", info, err)
		}
		for name, mode := range map[string]os.FileMode{"agent": 0o755, "runc": 0o755, "settings/a.conf": 0o644} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != mode || info.Size() == 0 {
				t.Errorf("%s: %v %v", name, info, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, unfinished)); err == nil {
			t.Error("a part is left")
		}
		if got, err := os.ReadFile(filepath.Join(dir, "settings/a.conf")); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestHostileInstallStaysInItsFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"../x", "/etc/x", "link/x"} {
		inside := filepath.Join(dir, "inside")
		if err := os.MkdirAll(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = os.Symlink(dir, filepath.Join(inside, "link"))
		request, err := json.Marshal(InstallRequest{Files: []InstallFile{{name, "x", 0o644}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := Install(inside, string(request)); err == nil {
			t.Errorf("%s was written", name)
		}
		if _, err := os.Stat(filepath.Join(inside, "agent")); err == nil {
			t.Error("an installation that failed counts as finished")
		}
		if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
			t.Errorf("%s is outside", name)
		}
	}
}
