package doctor

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/storage"
)

func TestPrint(t *testing.T) {
	r := report{Severity: doctor.Error, Fixes: []doctor.Fix{{Check: "files", Text: "changed a mode", Done: true}, {Check: "jobs", Text: "gc: no engine"}}, Findings: []doctor.Finding{
		{Check: "engine", Severity: doctor.OK, Text: "Docker Engine 28.5.2"},
		{Check: "runner", Severity: doctor.Error, Text: "run_exec = \"\x1b]0;x\a\" is not\nthis executor \u202e", Next: "correct it\r"},
	}}
	var b strings.Builder
	if err := r.print(&b, terminal{}); err != nil {
		t.Fatal(err)
	}
	want := `repaired: changed a mode
not repaired: gc: no engine
ok      engine         Docker Engine 28.5.2
error   runner         run_exec = "\x1b]0;x\a" is not; this executor \u202e
                       -> correct it
This machine cannot run jobs: 1 error, 0 warnings, 0 notes.
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestPrintOnTerminal(t *testing.T) {
	r := report{Image: "debian:12", Severity: doctor.Warning, Findings: []doctor.Finding{{Check: "tools", Severity: doctor.Warning, Text: strings.Repeat("word ", 12), Next: "next"}}}
	var b strings.Builder
	if err := r.print(&b, terminal{colours: true, width: 63}); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[33mwarning \x1b[0mtools          word word word word word word word word\n" +
		strings.Repeat(" ", 23) + "word word word word\n" + strings.Repeat(" ", 23) + "-> next\n" +
		"Jobs can run in debian:12, but not as well as possible: 0 errors, 1 warning, 0 notes.\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
	if got := terminalOf(&b); got != (terminal{}) {
		t.Errorf("a writer without a terminal: %+v", got)
	}
}

func TestExitCode(t *testing.T) {
	for s, want := range map[doctor.Severity]string{doctor.OK: "", doctor.Note: "", doctor.Warning: "exit code 1", doctor.Error: "exit code 2"} {
		got := ""
		if err := exitCode(s); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q", s, got)
		}
	}
}

// The trial shell does what the executor asks of a shell.
func TestShell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("exit 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := Shell(t.Context(), []string{file}); code != 7 {
		t.Errorf("exit code %d", code)
	}
	if code := Shell(t.Context(), []string{"-x"}); code != 2 {
		t.Errorf("exit code %d of a wrong usage", code)
	}
	var out strings.Builder
	text, err := shellText([]string{"-c", `printf %s $'a\x62'`}) // executor/agent/shell.go
	if err == nil {
		err = interpret(t.Context(), text, strings.NewReader(""), &out, io.Discard)
	}
	if err != nil || out.String() != "ab" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if IsShell("/usr/local/bin/gitlab-sysbox-executor") || IsShell("sh") || !IsShell("/bin/sh") {
		t.Error("the program takes another name for the trial shell")
	}
}

func TestTrialImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	var b bytes.Buffer
	if err := writeImage(&b, program); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		found[h.Name] = string(text) + h.Linkname
	}
	if len(found) != 4 || found["bin/gitlab-sysbox-executor"] != "program" || found["bin/sh"] != "bin/gitlab-sysbox-executor" {
		t.Errorf("%q", found)
	}
}

// The trial of vfs notices a file system that loses what a build needs.
func TestProbeVFS(t *testing.T) {
	dir := t.TempDir()
	if _, err := probeVFS(dir); err != nil && os.Geteuid() == 0 {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	lower, upper := filepath.Join(dir, "lower"), filepath.Join(dir, "upper")
	for _, d := range []string{lower, upper} {
		if err := makeLayer(d, []byte("x")); err != nil && os.Geteuid() == 0 {
			t.Fatal(err)
		}
	}
	if err := compareLayers(lower, upper); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(upper, "file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := compareLayers(lower, upper); err == nil || !strings.Contains(err.Error(), "another mode") {
		t.Errorf("a lost mode is not noticed: %v", err)
	}
	if _, err := probeVFS(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing volume is not noticed")
	}
}

func TestInsideFindings(t *testing.T) {
	for name, c := range map[string]struct {
		in         inside
		driver     string
		configured bool
		severity   doctor.Severity
		text       string
	}{
		"all":                           {inside{Shares: true, Driver: "vfs"}, "vfs", true, doctor.OK, "overlay works, vfs copies layers with shared blocks"},
		"overlay is not needed":         {inside{Overlay: "mounting it: EPERM"}, "vfs", true, doctor.OK, "overlay does not work (mounting it: EPERM), vfs copies layers in full"},
		"overlay is configured":         {inside{Overlay: "mounting it: EPERM"}, "overlay", true, doctor.Warning, "overlay does not work"},
		"vfs does not work":             {inside{VFS: "copying a layer: EIO"}, "vfs", true, doctor.Error, "vfs does not work: copying a layer: EIO"},
		"it is not what jobs get":       {inside{VFS: "copying a layer: EIO"}, "vfs", false, doctor.Note, "vfs does not work"},
		"no folder for temporary files": {inside{Temp: "no such file"}, "vfs", true, doctor.Warning, "TMPDIR does not work: no such file"},
	} {
		f := c.in.finding(storage.XFSLoop, c.driver, c.configured, time.Second, time.Second)
		if f.Severity != c.severity || !strings.Contains(f.Text, c.text) || f.Check != jobCheck || (f.Severity == doctor.OK) != (f.Next == "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Rules for jobs must not refuse the trial image, and the machine's own settings stay.
func TestTrialConfig(t *testing.T) {
	c := config.Default()
	c.Job.AllowedImages, c.Job.User, c.Runtime = []string{"ruby:*"}, "ci", "other"
	got := trialConfig(c, storage.Tmpfs, 5)
	if len(got.Job.AllowedImages) > 0 || got.Job.User != "" || got.Runtime != "other" || got.Storage.Backend != storage.Tmpfs || got.Storage.Size != 5 {
		t.Errorf("%+v", got)
	}
	if c.Job.User != "ci" || c.Storage.Backend != "auto" || trialConfig(c, storage.Tmpfs, 0).Storage.Size != c.Storage.Size {
		t.Error("the configuration was changed")
	}
}

func TestOutputIsBounded(t *testing.T) {
	l := limited{most: 5}
	n, err := io.Copy(&l, strings.NewReader("more than five"))
	if err != nil || n != 14 || l.text.String() != "more " {
		t.Errorf("%d %v %q", n, err, l.text.String())
	}
}

func TestFailureShowsTheLastWarnings(t *testing.T) {
	f := failure(storage.Plain, errors.New("no network"), "\x1b[0;33mWARNING: one\x1b[0;m\nplain\n\x1b[0;33mWARNING: two\x1b[0;m\n\x1b[0;33mWARNING: three\x1b[0;m\n")
	if f.Text != "the trial job with volume failed: no network (two; three)" || f.Severity != doctor.Error || f.Next == "" {
		t.Errorf("%+v", f)
	}
}

func TestStorageConfOfAnImage(t *testing.T) {
	for text, want := range map[string]string{
		"": "not in the image; ",
		"[storage]\ndriver = \"overlay\"\ngraphroot = \"/x\"\n[storage.options.overlay]\nmount_program = \"/usr/bin/fuse-overlayfs\"\n": "the image's says driver overlay, graphroot /x, mount_program /usr/bin/fuse-overlayfs, which has no effect; ",
		"[storage\n": "the image's is not valid TOML (line 2); ",
	} {
		var l look
		l.environment.Enforced = map[string]string{"STORAGE_DRIVER": "vfs"}
		l.storage([]byte(text))
		if len(l.all) == 0 || l.all[0].Text != want+"the job sees driver vfs and /var/lib/containers/storage on its storage volume" {
			t.Errorf("%+v", l.all)
		}
		if moved := strings.Contains(text, "/x"); moved != (len(l.all) == 2) {
			t.Errorf("images that are not found: %+v", l.all)
		}
	}
}

func TestSubIDsOfAnImage(t *testing.T) {
	fits := map[string][]byte{"/etc/subuid": []byte("ci:1:999\nci:1001:64535\n"), "/etc/subgid": []byte("ci:1:999\nci:1001:64535\n")}
	beyond := map[string][]byte{"/etc/subuid": []byte("ci:100000:65536\n"), "/etc/subgid": fits["/etc/subgid"]}
	builder := []string{"buildah", "newuidmap"}
	for name, c := range map[string]struct {
		files    map[string][]byte
		programs []string
		user     string
		severity doctor.Severity
		text     string
	}{
		"root":         {nil, builder, "root", doctor.OK, "are not needed"},
		"fitting":      {fits, builder, "ci", doctor.OK, "fit"},
		"beyond":       {beyond, builder, "ci", doctor.Note, "/etc/subuid has ranges beyond the 65536 IDs"},
		"no range":     {nil, builder, "ci:ci", doctor.Warning, "no range for ci"},
		"no newuidmap": {fits, []string{"podman"}, "ci", doctor.Warning, "no newuidmap"},
		"no builds":    {nil, nil, "ci", doctor.OK, "not needed"},
	} {
		var l look
		l.subIDs(c.files, c.programs, c.user)
		if doctor.Worst(l.all) != c.severity || len(l.all) == 0 || !strings.Contains(l.all[0].Text, c.text) {
			t.Errorf("%s: %+v", name, l.all)
		}
	}
}

func TestInsideIsJSON(t *testing.T) {
	text, err := json.Marshal(lookInside(filepath.Join(t.TempDir(), "none"), func(string) string { return "" }))
	var back inside
	if err != nil || json.Unmarshal(text, &back) != nil || back.Overlay == "" || back.VFS == "" {
		t.Errorf("%s %v", text, err)
	}
}
