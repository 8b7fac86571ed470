package install

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"
)

const timer = "/etc/systemd/system/gitlab-sysbox-executor-gc.timer"

var programFiles = fstest.MapFS{
	"config.example.toml":                        {Data: []byte("# every key\n")},
	units + "/gitlab-sysbox-executor-gc.service": {Data: []byte("[Service]\nExecStart=/usr/local/bin/gitlab-sysbox-executor gc\n")},
	units + "/gitlab-sysbox-executor-gc.timer":   {Data: []byte("[Timer]\n")},
}

const runners = "# mine\n[[runners]]\n  name = \"sysbox\"\n  token = \"glrt-secret\"\n  executor = \"custom\"\n\n[[runners]] # other\n  name = \"docker\"\n  executor = \"docker\"\n"

// world is a system with a Runner, and an installer for it.
type world struct {
	*installer
	t   *testing.T
	out *bytes.Buffer
	ran []string // systemctl
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, out: &bytes.Buffer{}}
	w.installer = &installer{root: t.TempDir(), program: "/opt/bin/gitlab-sysbox-executor", runnerConfig: "/etc/gitlab-runner/config.toml", files: programFiles, out: w.out}
	w.systemctl = func(args ...string) error {
		w.ran = append(w.ran, strings.Join(args, " "))
		return nil
	}
	w.put("/etc/gitlab-runner/config.toml", runners)
	if err := os.Chmod(w.at("/etc/gitlab-runner/config.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.again()
	return w
}

// again reads the list of files, as another process does.
func (w *world) again() {
	w.t.Helper()
	var err error
	if w.manifest, err = readManifest(w.at("/var/lib/gitlab-sysbox-executor/install.json")); err != nil {
		w.t.Fatal(err)
	}
	w.out.Reset()
}

func (w *world) put(path, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.at(path)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.at(path), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(runner string) error {
	w.t.Helper()
	w.again()
	return w.install(&cobra.Command{Use: name}, runner, false)
}

// snapshot returns all files with their content and mode, and the empty folders.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == w.root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inside := strings.TrimPrefix(path, w.root)
		if d.IsDir() {
			all[inside] = "folder"
			return nil
		}
		text, err := os.ReadFile(path)
		all[inside] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// want compares all files with an earlier snapshot. The folder of the state is not compared.
func (w *world) want(before map[string]string) {
	w.t.Helper()
	now := w.snapshot()
	for path, text := range now {
		if before[path] != text && path != "/var" && path != "/var/lib" && path != "/var/lib/gitlab-sysbox-executor" {
			w.t.Errorf("%s is now %q, was %q", path, text, before[path])
		}
	}
	for path := range before {
		if _, ok := now[path]; !ok {
			w.t.Errorf("%s is gone", path)
		}
	}
}

// backupTime ends the name of a backup.
var backupTime = regexp.MustCompile(`\.[0-9]{8}T[0-9]{6}\.[0-9]{3}Z\.bak$`)

func TestInstallAndUninstall(t *testing.T) {
	w := newWorld(t)
	w.put(timer, "[Timer]\n# the administrator's own\n")
	before := w.snapshot()
	if err := w.do("sysbox"); err != nil {
		t.Fatal(err)
	}
	now := w.snapshot()
	for path, want := range map[string]string{
		"/etc/gitlab-sysbox-executor/config.toml":               "-rw-r--r-- # every key\n",
		"/etc/systemd/system/gitlab-sysbox-executor-gc.service": "-rw-r--r-- [Service]\nExecStart=/opt/bin/gitlab-sysbox-executor gc\n",
		timer: "-rw-r--r-- [Timer]\n",
	} {
		if now[path] != want {
			t.Errorf("%s: %q, want %q", path, now[path], want)
		}
	}
	for _, path := range []string{"bash-completion/completions/" + name, "zsh/site-functions/_" + name, "fish/vendor_completions.d/" + name + ".fish"} {
		if !strings.Contains(now["/usr/local/share/"+path], name) {
			t.Errorf("no completion in %s", path)
		}
	}
	config := now["/etc/gitlab-runner/config.toml"]
	if !strings.HasPrefix(config, "-rw------- # mine\n") || !strings.Contains(config, `run_exec = "/opt/bin/gitlab-sysbox-executor"`) {
		t.Error(config)
	}
	backups := 0
	for path, text := range now {
		if strings.HasSuffix(path, ".bak") {
			original := backupTime.ReplaceAllString(path, "")
			if backups++; before[original] != text {
				t.Errorf("%s is %q, want %q", path, text, before[original])
			}
		}
	}
	if backups != 2 {
		t.Errorf("%d backups", backups)
	}
	if got := strings.Join(w.ran, "; "); got != "daemon-reload; enable --now gitlab-sysbox-executor-gc.timer" {
		t.Errorf("systemctl: %s", got)
	}
	if strings.Contains(w.out.String(), "glrt-secret") {
		t.Errorf("a token is in the output:\n%s", w.out)
	}

	// A second time changes nothing.
	if err := w.do("sysbox"); err != nil {
		t.Fatal(err)
	}
	w.want(now)

	w.again()
	if err := w.uninstall(false); err != nil {
		t.Fatal(err)
	}
	w.want(before)
	w.again()
	if err := w.uninstall(false); err != nil || !strings.Contains(w.out.String(), "wrote no file") {
		t.Errorf("a second uninstall: %v\n%s", err, w.out)
	}
}

// A newer program replaces its own files without a backup, and uninstall still knows the first one.
func TestInstallAgain(t *testing.T) {
	w := newWorld(t)
	w.put(timer, "the first\n")
	before := w.snapshot()
	for _, text := range []string{"[Timer]\n", "[Timer]\n# newer\n"} {
		files := fstest.MapFS{}
		for path, f := range programFiles {
			files[path] = f
		}
		files[units+"/gitlab-sysbox-executor-gc.timer"] = &fstest.MapFile{Data: []byte(text)}
		w.files = files
		if err := w.do(""); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(w.at(timer + ".*.bak"))
	if err != nil || len(found) != 1 {
		t.Errorf("backups: %v, %v", found, err)
	}
	w.again()
	if err := w.uninstall(false); err != nil {
		t.Fatal(err)
	}
	w.want(before)
}

func TestInstallLeaves(t *testing.T) {
	w := newWorld(t)
	w.put("/etc/gitlab-sysbox-executor/config.toml", "log_level = \"debug\"\n")
	w.put("/usr/lib/systemd/system/gitlab-sysbox-executor-gc.service", "the package's")
	w.put("/usr/lib/systemd/system/gitlab-sysbox-executor-gc.timer", "the package's")
	w.put("/usr/share/zsh/vendor-completions/_gitlab-sysbox-executor", "the package's")
	before := w.snapshot()
	if err := w.do(""); err != nil {
		t.Fatal(err)
	}
	now := w.snapshot()
	for path := range now {
		if before[path] == "" && (strings.Contains(path, "/etc/") || strings.Contains(path, "zsh")) {
			t.Errorf("%s was written", path)
		}
	}
	for _, want := range []string{"kept /etc/gitlab-sysbox-executor/config.toml\n", "3 units and completions are there from a package\n", "gitlab-runner register --non-interactive", "the tag sysbox"} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("no %q in\n%s", want, w.out)
		}
	}
	if len(w.ran) > 0 {
		t.Errorf("systemctl %v", w.ran)
	}
}

func TestUninstallLeavesWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.put(timer, "the first\n")
	if err := w.do("sysbox"); err != nil {
		t.Fatal(err)
	}
	changed := []string{"/etc/gitlab-sysbox-executor/config.toml", timer, "/etc/gitlab-runner/config.toml"}
	for _, path := range changed {
		w.put(path, "changed\n")
	}
	if err := os.Remove(w.at("/etc/systemd/system/gitlab-sysbox-executor-gc.service")); err != nil {
		t.Fatal(err)
	}
	w.again()
	if err := w.uninstall(false); err != nil {
		t.Fatal(err)
	}
	for _, path := range changed {
		text, err := os.ReadFile(w.at(path))
		if err != nil || string(text) != "changed\n" || !strings.Contains(w.out.String(), "left, because it was changed since: "+path) {
			t.Errorf("%s: %q, %v\n%s", path, text, err, w.out)
		}
	}
	if !strings.Contains(w.out.String(), "was gone already: /etc/systemd/system/gitlab-sysbox-executor-gc.service") {
		t.Error(w.out)
	}
}

// Whatever is wrong, nothing has changed afterwards.
func TestInstallFails(t *testing.T) {
	for _, tc := range []struct {
		name, runner, want string
		prepare            func(*world)
	}{
		{"no such runner", "other", `no runner "other"`, nil},
		{"another executor", "docker", `its executor is "docker"`, nil},
		{"two of the name", "sysbox", "2 runners have the name", func(w *world) { w.put("/etc/gitlab-runner/config.toml", runners+runners) }},
		{"another section", "sysbox", "has other values already", func(w *world) {
			w.put("/etc/gitlab-runner/config.toml", strings.Replace(runners, "\n\n", "\n[runners.custom]\nrun_exec = \"/opt/other\"\n\n", 1))
		}},
		{"no file", "sysbox", "name the file with --runner-config", func(w *world) { w.runnerConfig = "/etc/none.toml" }},
		// The third file cannot be written: the first two are taken back.
		{"a folder in the way of a file", "sysbox", "is a directory", func(w *world) { w.put("/usr/local/share/zsh/site-functions/_gitlab-sysbox-executor/x", "") }},
		{"a file in the way of a folder", "sysbox", "not a directory", func(w *world) { w.put("/usr/local/share/fish", "") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(timer, "the first\n")
			if tc.prepare != nil {
				tc.prepare(w)
			}
			before := w.snapshot()
			err := w.do(tc.runner)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "glrt-secret") {
				t.Errorf("%v, want %q", err, tc.want)
			}
			w.want(before)
			if len(w.ran) > 0 {
				t.Errorf("systemctl %v", w.ran)
			}
		})
	}
}

// The Runner may write its file at the same time. What was written before is taken back.
func TestInstallSeesAChange(t *testing.T) {
	w := newWorld(t)
	due, ok, err := w.runnerTarget("sysbox")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	w.put(due.path, runners+"# newer\n")
	w.put(timer, "the first\n")
	before := w.snapshot()
	first := []target{{path: "/etc/new/folder/file", text: []byte("new"), mode: 0o644}, {path: timer, text: []byte("new"), mode: 0o644}}
	if err := w.writeAll(append(first, due)); err == nil || !strings.Contains(err.Error(), "has just been changed") {
		t.Error(err)
	}
	w.want(before)
}

func TestPrintWritesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	if err := w.install(&cobra.Command{Use: name}, "sysbox", true); err != nil {
		t.Fatal(err)
	}
	w.want(before)
	for _, want := range []string{"would write /etc/gitlab-runner/config.toml\n", "would run systemctl enable --now gitlab-sysbox-executor-gc.timer\n", "[runners.custom]\n", `prepare_args = ["prepare"]`} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("no %q in\n%s", want, w.out)
		}
	}
	if strings.Contains(w.out.String(), "glrt-secret") || len(w.ran) > 0 {
		t.Errorf("%v\n%s", w.ran, w.out)
	}
}

func TestDamagedList(t *testing.T) {
	w := newWorld(t)
	w.put("/var/lib/gitlab-sysbox-executor/install.json", "{")
	if _, err := readManifest(w.at("/var/lib/gitlab-sysbox-executor/install.json")); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
}

func TestCheckProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	if err := errors.Join(os.WriteFile(path, nil, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		program string
		config  string
		change  func() error
		want    string
	}{
		"well":                 {path, "", func() error { return nil }, ""},
		"writable":             {path, "", func() error { return os.Chmod(path, 0o775) }, "can be changed by users other than root"},
		"in a writable folder": {path, "", func() error { return errors.Join(os.Chmod(path, 0o755), os.Chmod(dir, 0o777)) }, "can be changed by users other than root"},
		"a blank":              {"/opt/my bin/x", "", func() error { return nil }, "cannot be named in a systemd unit"},
		"a percent sign":       {path, "/etc/%n.toml", func() error { return nil }, "cannot be named in a systemd unit"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(os.Chmod(path, 0o755), os.Chmod(dir, 0o755), tc.change()); err != nil {
				t.Fatal(err)
			}
			i := &installer{program: tc.program, configPath: tc.config}
			err := i.checkProgram()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
