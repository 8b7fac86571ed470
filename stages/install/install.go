// Package install has the commands that put the executor's files on this machine and take them back:
// configuration, systemd units, completion and the Runner's section.
package install

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/runnerconfig"
)

// Commands returns the commands of this package. The files are config.example.toml and scripts/systemd.
func Commands(a *app.App, files fs.FS) []*cobra.Command {
	return []*cobra.Command{installCommand(a, files), uninstallCommand(a)}
}

// installer writes the files and removes them.
type installer struct {
	root         string // all paths are below it; empty for this machine
	program      string // absolute path
	configPath   string // absolute; empty for the default
	runnerConfig string
	files        fs.FS
	manifest     *manifest
	out          io.Writer
	systemctl    func(args ...string) error // nil if systemd does not run here
}

func installCommand(a *app.App, files fs.FS) *cobra.Command {
	i := &installer{files: files}
	var runner string
	var print bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Write configuration, systemd units, completion and the Runner's section",
		Long: `Write the commented configuration, the systemd units and the completion of shells,
unless they are there. With --runner, add the section [runners.custom] to that
runner of GitLab Runner's configuration, whose executor must be "custom"; nothing
else in that file changes. Without it, print the command that registers a runner.

What a package of the distribution installed stays with it. A file that is
replaced has a backup beside it. "uninstall" takes back what "install" wrote.`,
		Example: `  gitlab-sysbox-executor install --print
  gitlab-sysbox-executor install --runner sysbox`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := i.begin(c, a); err != nil {
				return err
			}
			return i.install(c.Root(), runner, print)
		},
	}
	c.Flags().StringVar(&runner, "runner", "", "name of the runner that gets the section")
	c.Flags().StringVar(&i.runnerConfig, "runner-config", runnerconfig.DefaultPath, "GitLab Runner's configuration file")
	c.Flags().BoolVar(&print, "print", false, "only print what would be done")
	c.Flags().StringVar(&i.root, "root", "", "folder of another system to install into, which has the program at the same path")
	return c
}

// begin sets what install and uninstall have in common.
func (i *installer) begin(c *cobra.Command, a *app.App) (err error) {
	i.out = c.OutOrStdout()
	if i.program, err = os.Executable(); err != nil {
		return err
	}
	if i.program, err = filepath.EvalSymlinks(i.program); err != nil {
		return err
	}
	if a.ConfigPath != "" {
		if i.configPath, err = filepath.Abs(a.ConfigPath); err != nil {
			return err
		}
	}
	if i.root != "" {
		if i.root, err = filepath.Abs(i.root); err != nil {
			return err
		}
		if info, err := os.Stat(i.root); err != nil || !info.IsDir() {
			return fmt.Errorf("--root %s is not a folder", i.root)
		}
	} else if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		i.systemctl = systemctl
	}
	// The file that install writes need not be there.
	read := *a
	if _, err := os.Stat(i.at(i.config())); err == nil {
		read.ConfigPath = i.at(i.config())
	} else {
		read.ConfigPath = ""
	}
	if err := read.Load(c.ErrOrStderr()); err != nil {
		return err
	}
	a.Config, a.Log = read.Config, read.Log
	i.manifest, err = readManifest(i.at(statedir.Dir(a.Config.StateDir).Installed()))
	return err
}

func systemctl(args ...string) error {
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// install decides everything before it writes the first file.
func (i *installer) install(root *cobra.Command, runner string, print bool) error {
	if i.root == "" {
		if err := i.checkProgram(); err != nil {
			return err
		}
	}
	all, err := i.targets(root)
	if err != nil {
		return err
	}
	if runner != "" {
		t, missing, err := i.runnerTarget(runner)
		if err != nil {
			return err
		}
		if missing {
			all = append(all, t)
		} else {
			fmt.Fprintf(i.out, "%s: the runner %q has the section already\n", t.path, runner)
		}
	}
	due, err := i.due(all)
	if err != nil {
		return err
	}
	if print {
		for _, t := range due {
			fmt.Fprintf(i.out, "would write %s\n", t.path)
		}
	} else if err := i.writeAll(due); err != nil {
		return err
	}
	if err := i.enable(due, print); err != nil {
		return err
	}
	return i.explain(runner, print)
}

// due leaves out what need not be written, with a line for each.
func (i *installer) due(all []target) ([]target, error) {
	var due []target
	packaged := 0
	for _, t := range all {
		text, err := os.ReadFile(i.at(t.path))
		there := err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		switch {
		case t.packaged && !there:
			packaged++
		case there && bytes.Equal(text, t.text):
			fmt.Fprintf(i.out, "unchanged %s\n", t.path)
		case there && t.keep:
			fmt.Fprintf(i.out, "kept %s\n", t.path)
		default:
			due = append(due, t)
		}
	}
	if packaged > 0 {
		fmt.Fprintf(i.out, "%d units and completions are there from a package\n", packaged)
	}
	return due, nil
}

// writeAll writes all files, or none.
func (i *installer) writeAll(due []target) error {
	before := slices.Clone(i.manifest.Files)
	for n, t := range due {
		if err := i.write(t); err != nil {
			for _, done := range slices.Backward(due[:n+1]) {
				err = errors.Join(err, i.undo(done.path, before))
			}
			return err
		}
	}
	return nil
}

func (i *installer) write(t target) error {
	path := i.at(t.path)
	e := entry{Path: t.path, SHA256: hash(t.text)}
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		if t.was != nil && !bytes.Equal(text, t.was) {
			return fmt.Errorf("%s has just been changed by another program: try again", t.path)
		}
		if n := i.manifest.index(t.path); n >= 0 && i.manifest.Files[n].SHA256 == hash(text) {
			e.Backup, e.Made = i.manifest.Files[n].Backup, i.manifest.Files[n].Made // this is an earlier file of ours
			break
		}
		backup, err := backUp(path, time.Now())
		if err != nil {
			return fmt.Errorf("the backup of %s: %w", t.path, err)
		}
		e.Backup = strings.TrimPrefix(backup, i.root)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// Before the folder and the file: uninstall has to know both.
	if err := i.manifest.put(e); err != nil {
		return fmt.Errorf("the list of installed files: %w", err)
	}
	made, err := makeFolders(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, folder := range made {
		e.Made = append(e.Made, strings.TrimPrefix(folder, i.root))
	}
	if len(made) > 0 {
		if err := i.manifest.put(e); err != nil {
			return fmt.Errorf("the list of installed files: %w", err)
		}
	}
	if err := write(path, t.text, t.mode); err != nil {
		return err
	}
	fmt.Fprintf(i.out, "wrote %s\n", t.path)
	if e.Backup != "" {
		fmt.Fprintf(i.out, "  the file before it: %s\n", e.Backup)
	}
	return nil
}

// undo takes back one file of an installation that failed, and its entry in the list before.
func (i *installer) undo(path string, before []entry) error {
	n := i.manifest.index(path)
	if n < 0 {
		return nil
	}
	e := i.manifest.Files[n]
	at := slices.IndexFunc(before, func(b entry) bool { return b.Path == path })
	if at >= 0 && before[at].Backup == e.Backup {
		return nil // an earlier file of ours: either of both is complete, and in the list
	}
	_, err := i.takeBack(e)
	if at >= 0 {
		return errors.Join(err, i.manifest.put(before[at]))
	}
	return errors.Join(err, i.manifest.drop(path))
}

// timers are the units of due that are enabled.
func timers(due []string) (all []string) {
	for _, path := range due {
		if filepath.Dir(path) == unitDir && filepath.Ext(path) == ".timer" {
			all = append(all, filepath.Base(path))
		}
	}
	return all
}

func (i *installer) enable(due []target, print bool) error {
	var paths []string
	for _, t := range due {
		paths = append(paths, t.path)
	}
	all := timers(paths)
	if len(all) == 0 {
		return nil
	}
	command := append([]string{"enable", "--now"}, all...)
	switch {
	case print:
		fmt.Fprintf(i.out, "would run systemctl %s\n", strings.Join(command, " "))
		return nil
	case i.systemctl == nil:
		fmt.Fprintf(i.out, "systemd does not run here. When it does: systemctl %s\n", strings.Join(command, " "))
		return nil
	}
	if err := i.systemctl("daemon-reload"); err != nil {
		return err
	}
	if err := i.systemctl(command...); err != nil {
		return err
	}
	fmt.Fprintf(i.out, "enabled %s\n", strings.Join(all, ", "))
	return nil
}

// explain prints what is left to do for the Runner.
func (i *installer) explain(runner string, print bool) error {
	if runner != "" {
		if print {
			fmt.Fprintf(i.out, "the section of the runner %q in %s:\n%s", runner, i.runnerConfig, runnerconfig.Text(i.section()))
		}
		return nil
	}
	command, err := runnerconfig.RegisterCommand(i.section())
	if err != nil {
		return err
	}
	fmt.Fprintf(i.out, `
To register a new runner, make one in GitLab (Settings > CI/CD > Runners) with the tag %[1]s,
and use its token (a registration token of old also needs --tag-list %[1]s):

%[2]s

For a runner that is registered with the executor custom: %[3]s install --runner NAME
`, runnerconfig.Tag, command, name)
	return nil
}
