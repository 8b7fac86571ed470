package storage

import (
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestFilesSayWhatTheEnvironmentSays(t *testing.T) {
	hostile := "/tmp/a \"b\" %h $(c) \\d"
	s := Settings{Driver: "vfs", TMPDIR: hostile, Isolation: "chroot"}
	texts := map[string]string{}
	for _, f := range s.Files() {
		texts[f.Path] = f.Text
	}
	var storage struct {
		Storage struct {
			Driver    string
			Graphroot string
			Runroot   string
			Rootless  string `toml:"rootless_storage_path"`
		}
	}
	if _, err := toml.Decode(texts[SystemConfig], &storage); err != nil {
		t.Fatal(err)
	}
	if g := storage.Storage; g.Driver != "vfs" || g.Graphroot != "/var/lib/containers/storage" || g.Rootless != "/var/lib/containers/users/$UID/storage" || g.Runroot == "" {
		t.Errorf("%+v", g)
	}
	var containers struct {
		Engine struct {
			Env    []string
			TmpDir string `toml:"image_copy_tmp_dir"`
		}
	}
	if _, err := toml.Decode(texts["/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf"], &containers); err != nil {
		t.Fatal(err)
	}
	if strings.Join(containers.Engine.Env, "\n") != strings.Join(s.Environment(), "\n") || containers.Engine.TmpDir != hostile {
		t.Errorf("%+v", containers.Engine)
	}
	manager := texts["/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf"]
	if want := `DefaultEnvironment="CONTAINERS_STORAGE_CONF=/etc/containers/storage.conf" "STORAGE_DRIVER=vfs" "STORAGE_OPTS=" "TMPDIR=/tmp/a \"b\" %%h $(c) \\d" "BUILDAH_ISOLATION=chroot"` + "\n"; !strings.HasSuffix(manager, want) {
		t.Errorf("got %s want %s", manager, want)
	}
}

func TestEnforcedIsInTheEnvironment(t *testing.T) {
	s := Settings{Driver: "vfs", TMPDIR: "/tmp"}
	env := "\n" + strings.Join(s.Environment(), "\n") + "\n"
	for name, value := range s.Enforced() {
		if !strings.Contains(env, "\n"+name+"="+value+"\n") {
			t.Errorf("%s=%s is not in %s", name, value, env)
		}
	}
}

// A store belongs to one user: root's programs read root's store, and those of another user
// that user's store.
func TestImageStore(t *testing.T) {
	const system, user = "/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf", "/etc/systemd/user.conf.d/zz-gitlab-sysbox-executor.conf"
	const tools = "/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf"
	for uid, files := range map[int][]string{0: {SystemConfig, system}, 1000: {tools, user}} {
		store := ImageStore("vfs", uid)
		s := Settings{Driver: "vfs", TMPDIR: "/tmp", ImageStore: store}
		if got := s.Enforced()["STORAGE_OPTS"]; got != "vfs.imagestore="+store {
			t.Error(got)
		}
		for _, f := range s.Files() {
			if strings.Contains(f.Text, store) != slices.Contains(files, f.Path) {
				t.Errorf("user %d, %s:\n%s", uid, f.Path, f.Text)
			}
			var any map[string]any
			if _, err := toml.Decode(f.Text, &any); err != nil && strings.HasPrefix(f.Path, "/etc/containers/") {
				t.Errorf("%s: %v", f.Path, err)
			}
		}
	}
}
