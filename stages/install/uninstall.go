package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/stages/app"
)

func uninstallCommand(a *app.App) *cobra.Command {
	i := &installer{}
	var purge, print bool
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take back what install wrote",
		Long: `Remove the files that "install" wrote, and put back the files that it replaced. A
file that was changed since stays, and a line says so. The program itself stays.

With --purge, also remove everything else of the executor from this machine and
its engine: images that jobs pulled, shared images, volumes with builds and
caches, leftovers, and the state folder. It is refused while a job runs.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := i.begin(c, a); err != nil {
				return err
			}
			if purge && i.root != "" {
				return errors.New("--purge is for this machine: it cannot have --root")
			}
			if purge {
				// First, because it needs the configuration.
				err := a.With(func(p *app.Parts) error { return i.purge(c.Context(), p, print) })
				if dir := statedir.Dir(a.Config.StateDir); engine.IsUnreachable(err) && !dir.Recorded() {
					fmt.Fprintf(i.out, "the engine does not answer; %s has no record of anything on it\n", dir)
				} else if err != nil {
					return err
				}
			}
			if err := i.uninstall(print); err != nil || !purge || print {
				return err
			}
			return i.removeState(statedir.Dir(a.Config.StateDir))
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "also remove images, volumes and the state folder")
	c.Flags().BoolVar(&print, "print", false, "only print what would be done")
	c.Flags().StringVar(&i.root, "root", "", "folder of another system that was the --root of install")
	return c
}

// uninstall takes back every file of the list, the last first.
func (i *installer) uninstall(print bool) error {
	var paths []string
	for _, e := range i.manifest.Files {
		paths = append(paths, e.Path)
	}
	if len(paths) == 0 {
		fmt.Fprintln(i.out, "install wrote no file on this machine")
		return nil
	}
	ours := timers(paths)
	if len(ours) > 0 && i.systemctl != nil && !print {
		if err := i.systemctl(append([]string{"disable", "--now"}, ours...)...); err != nil {
			fmt.Fprintln(i.out, err) // a unit may be gone already
		}
	}
	var errs []error
	for _, e := range slices.Backward(slices.Clone(i.manifest.Files)) {
		if print {
			fmt.Fprintf(i.out, "would take back %s\n", e.Path)
			continue
		}
		said, err := i.takeBack(e)
		if err == nil {
			fmt.Fprintln(i.out, said)
			err = i.manifest.drop(e.Path)
		}
		errs = append(errs, err)
	}
	if len(ours) > 0 && i.systemctl != nil && !print {
		errs = append(errs, i.systemctl("daemon-reload"))
	}
	return errors.Join(errs...)
}

// takeBack removes a file or puts back the one before it, and returns what it did. A file that was
// changed since stays.
func (i *installer) takeBack(e entry) (string, error) {
	path := i.at(e.Path)
	now, err := hashOf(path)
	if err != nil {
		return "", err
	}
	if e.Backup != "" {
		return i.putBack(e, now)
	}
	said := "removed " + e.Path
	switch now {
	case "":
		said = "was gone already: " + e.Path
	case e.SHA256:
		if err := os.Remove(path); err != nil {
			return "", err
		}
	default:
		return "left, because it was changed since: " + e.Path, nil
	}
	for _, folder := range slices.Backward(e.Made) {
		_ = os.Remove(i.at(folder)) // it stays if other files are in it
	}
	return said, nil
}

// putBack puts a backup in the place of the file with the hash now.
func (i *installer) putBack(e entry, now string) (string, error) {
	before, err := hashOf(i.at(e.Backup))
	switch {
	case err != nil:
		return "", err
	case before == now && now != "": // install was interrupted between the backup and the file
		return "unchanged " + e.Path, os.Remove(i.at(e.Backup))
	case now != e.SHA256:
		return fmt.Sprintf("left, because it was changed since: %s; the file before it: %s", e.Path, e.Backup), nil
	case before == "":
		return fmt.Sprintf("left, because the file before it is gone: %s; it was %s", e.Path, e.Backup), nil
	}
	return "put back " + e.Path, os.Rename(i.at(e.Backup), i.at(e.Path))
}

// purge removes what no job needs. If a job is left, it is an error.
func (i *installer) purge(ctx context.Context, p *app.Parts, print bool) error {
	if err := idle(ctx, p, false); err != nil {
		return err
	}
	all, err := p.Executor.GC(ctx, removal.Options{DryRun: print})
	if err != nil {
		return err
	}
	more, err := p.RemoveUnused(ctx, print)
	var left int
	for _, c := range append(all, more...) {
		fmt.Fprintf(i.out, "%s %s: %s\n", c.Action, c.Name, c.Reason)
		if c.Action == removal.LeftOver {
			left++
		}
	}
	if err != nil || print {
		return err
	}
	if err := idle(ctx, p, true); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d resources could not be removed: the state folder stays, so that they can be found again", left)
	}
	return nil
}

// idle is an error if a job runs; after a gc, also if it cannot be seen from here whether one does.
func idle(ctx context.Context, p *app.Parts, collected bool) error {
	jobs, err := p.Overview.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if collected || j.Phase != overview.Orphaned && j.Phase != overview.Cleaning {
			return fmt.Errorf("the job %s runs: nothing is removed while jobs run; stop the Runner and wait for them (`%s ps` lists them)", j.Name, name)
		}
	}
	return nil
}

// removeState removes the state folder.
func (i *installer) removeState(dir statedir.Dir) error {
	left, err := dir.Remove()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the state folder: %w", err)
	case len(left) > 0:
		fmt.Fprintf(i.out, "left in %s, because the executor did not write it: %v\n", dir, left)
	default:
		fmt.Fprintf(i.out, "removed %s\n", filepath.Clean(string(dir)))
	}
	return nil
}
