package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/stages/runnerconfig"
)

const (
	name     = "gitlab-sysbox-executor"
	unitDir  = "/etc/systemd/system"
	examples = "config.example.toml" // in the program's files
	units    = "scripts/systemd"     // in the program's files
	// builtFor is the program in these units.
	builtFor = "/usr/local/bin/" + name
)

// packaged has the folders in which a package of a distribution installs units.
var packaged = []string{"/usr/lib/systemd/system", "/lib/systemd/system"}

// target is a file that install writes.
type target struct {
	path string // absolute, without the root
	text []byte
	mode fs.FileMode // for a file that is not there yet
	// keep: if the file is there, it stays as it is.
	keep     bool
	packaged bool // a file of the distribution's package takes the place of this one
	// was is the content that the text was made from; nil if the text does not depend on it.
	was []byte
}

// targets returns what install writes, without the Runner's configuration.
func (i *installer) targets(root *cobra.Command) ([]target, error) {
	example, err := fs.ReadFile(i.files, examples)
	if err != nil {
		return nil, err
	}
	all := []target{{path: i.config(), text: example, mode: 0o644, keep: true}}
	entries, err := fs.ReadDir(i.files, units)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(i.files, path.Join(units, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, target{path: filepath.Join(unitDir, e.Name()), text: i.unit(text), mode: 0o644, packaged: i.there(packaged, e.Name())})
	}
	for _, c := range []struct {
		path, packaged string
		generate       func(*bytes.Buffer) error
	}{
		{"bash-completion/completions/" + name, "", func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{"zsh/site-functions/_" + name, "zsh/vendor-completions/_" + name, func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{"fish/vendor_completions.d/" + name + ".fish", "", func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var b bytes.Buffer
		if err := c.generate(&b); err != nil {
			return nil, err
		}
		theirs := i.there([]string{"/usr/share"}, c.path) || c.packaged != "" && i.there([]string{"/usr/share"}, c.packaged)
		all = append(all, target{path: "/usr/local/share/" + c.path, text: b.Bytes(), mode: 0o644, packaged: theirs})
	}
	return all, nil
}

// config is the path of the executor's configuration.
func (i *installer) config() string {
	if i.configPath != "" {
		return i.configPath
	}
	return config.DefaultPath
}

// arguments are the program's arguments before each subcommand.
func (i *installer) arguments() []string {
	if i.config() == config.DefaultPath {
		return nil
	}
	return []string{"--config", i.config()}
}

// unit returns a unit that starts this program.
func (i *installer) unit(text []byte) []byte {
	return bytes.ReplaceAll(text, []byte("ExecStart="+builtFor+" "), []byte("ExecStart="+strings.Join(append([]string{i.program}, i.arguments()...), " ")+" "))
}

// there reports whether one of the files folder/name exists.
func (i *installer) there(folders []string, name string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		_, err := os.Stat(i.at(filepath.Join(folder, name)))
		return err == nil
	})
}

// at returns a path below the root.
func (i *installer) at(path string) string { return filepath.Join(i.root, path) }

// runnerTarget returns the Runner's configuration with the section in the named runner; ok is false if
// it has the section already.
func (i *installer) runnerTarget(runner string) (t target, ok bool, err error) {
	path := i.runnerConfig
	// A rename would replace a link by a file.
	if i.root == "" {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return t, false, fmt.Errorf("the Runner's configuration: %w: name the file with --runner-config", err)
		}
	}
	text, err := os.ReadFile(i.at(path))
	if err != nil {
		return t, false, fmt.Errorf("the Runner's configuration: %w: name the file with --runner-config", err)
	}
	changed, err := runnerconfig.Add(text, runner, i.section())
	if err != nil {
		return t, false, fmt.Errorf("%s: %w", path, err)
	}
	return target{path: path, text: changed, mode: 0o600, was: text}, !bytes.Equal(changed, text), nil
}

func (i *installer) section() []runnerconfig.Key {
	return runnerconfig.Section(i.program, i.arguments()...)
}

// checkProgram refuses a program that units and the Runner, as root, must not start.
func (i *installer) checkProgram() error {
	for _, path := range append([]string{i.program}, i.arguments()...) {
		if strings.ContainsFunc(path, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._+-", r))
		}) {
			return fmt.Errorf("%q cannot be named in a systemd unit: use a path of letters, digits and / . _ + -", path)
		}
	}
	for _, path := range []string{i.program, filepath.Dir(i.program)} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("the owner of files is not known on this system")
		}
		if owner.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s can be changed by users other than root, who runs it: copy the program to %s first", path, builtFor)
		}
	}
	return nil
}
