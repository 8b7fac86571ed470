package try

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/visit"
	"gitlab-sysbox-executor/stages/ciyaml"
	"gitlab-sysbox-executor/stages/contract"
)

// project is a Git working copy on this machine. It is only read.
type project struct {
	dir    string // the top folder of the working copy, an absolute path
	commit string
	branch string // empty if no branch is checked out
}

// usualDepth is the number of commits that a job gets, as with GitLab (GIT_DEPTH).
const usualDepth = 20

// openProject finds the working copy that contains a folder.
func openProject(ctx context.Context, dir string) (*project, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p := &project{dir: abs}
	top, err := p.git(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("--git %q is no Git working copy: %w", dir, err)
	}
	p.dir = strings.TrimSuffix(top, "\n")
	if p.commit, err = p.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err != nil {
		return nil, fmt.Errorf("--git %q has no commit yet", dir)
	}
	p.commit = strings.TrimSpace(p.commit)
	branch, _ := p.git(ctx, "symbolic-ref", "--quiet", "--short", "HEAD") // it fails if no branch is checked out
	p.branch = strings.TrimSpace(branch)
	return p, nil
}

// git runs git in the working copy. Nothing of it is written, and no program that its configuration names runs:
// reading the list of files, the names of commits and the objects needs neither filters nor hooks.
func (p *project) git(ctx context.Context, args ...string) (string, error) {
	return git(ctx, append([]string{"-C", p.dir}, args...)...)
}

func git(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
	c.Env = []string{"GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_") && !strings.HasPrefix(kv, "LC_") { // those of a hook would name another repository
			c.Env = append(c.Env, kv)
		}
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil && stderr.Len() > 0 {
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

// variables are GitLab's variables of the project and the commit.
func (p *project) variables() []ciyaml.Variable {
	ref := p.branch
	if ref == "" {
		ref = p.commit
	}
	all := []ciyaml.Variable{
		{Name: "CI_COMMIT_SHA", Value: p.commit}, {Name: "CI_COMMIT_SHORT_SHA", Value: p.commit[:min(8, len(p.commit))]},
		{Name: "CI_COMMIT_REF_NAME", Value: ref}, {Name: "CI_COMMIT_REF_SLUG", Value: slug(ref)},
		{Name: "CI_PROJECT_NAME", Value: slug(filepath.Base(p.dir))},
	}
	if p.branch != "" {
		all = append(all, ciyaml.Variable{Name: "CI_COMMIT_BRANCH", Value: p.branch})
	}
	return all
}

// slug is a name in GitLab's form for host names: lower case letters, digits and hyphens, at most 63.
func slug(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return strings.Trim(name[:min(63, len(name))], "-")
}

// sendProject makes the job's project folder a copy of the working copy.
func (j *tryJob) sendProject(ctx context.Context, d visit.Door) error {
	target, builds := path.Clean(j.value("CI_PROJECT_DIR")), j.value("CI_BUILDS_DIR")
	if target == builds || !config.Overlap(target, builds) || !strings.HasPrefix(target, builds+"/") {
		return fmt.Errorf("CI_PROJECT_DIR=%q is not a folder below %s", target, builds)
	}
	depth, err := strconv.Atoi(j.value("GIT_DEPTH"))
	if err != nil || depth < 0 {
		depth = usualDepth
	}
	repository := filepath.Join(j.dir, "repository")
	if err := j.project.clone(ctx, repository, depth); err != nil {
		return err
	}
	id, err := j.identity()
	if err != nil {
		return err
	}
	branch := "no branch"
	if j.project.branch != "" {
		branch = "branch " + j.project.branch
	}
	fmt.Fprintf(j.out, "Copying %s: commit %.8s, %s, with the files as they are.\n", format.Printable(j.project.dir, ""), j.project.commit, format.Printable(branch, ""))
	archive, w := io.Pipe()
	defer archive.Close() // ends the writer
	written := make(chan error, 1)
	go func() {
		err := j.project.write(ctx, w, repository, j.errOut)
		w.CloseWithError(err) // the unpacking fails then: the archive has no end
		written <- err
	}()
	err = d.Enter(ctx, id.Name(), visit.Visitor{Command: agent.Command("unpack", target), In: archive, Out: j.errOut})
	archive.Close()
	if failed := <-written; failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
		return failed
	}
	return err
}

// clone makes a repository with the last commits and their index, without files of the project. A depth of 0 means all commits.
func (p *project) clone(ctx context.Context, to string, depth int) error {
	args := []string{"clone", "--quiet", "--no-checkout", "--no-local", "--template="}
	if depth > 0 {
		args = append(args, "--depth", strconv.Itoa(depth))
	}
	// An absolute path is never a URL or a flag.
	if _, err := git(ctx, append(args, "--", p.dir, to)...); err != nil {
		return fmt.Errorf("cloning %s: %w", p.dir, err)
	}
	for _, args := range [][]string{{"read-tree", "HEAD"}, {"remote", "set-url", "origin", "https://" + contract.TryServer + "/try/project.git"}} {
		if _, err := git(ctx, append([]string{"-C", to}, args...)...); err != nil {
			return fmt.Errorf("the copy of %s: git %s: %w", p.dir, args[0], err)
		}
	}
	return nil
}

// files lists the paths of the working copy, without ignored ones.
func (p *project) files(ctx context.Context) ([]string, error) {
	out, err := p.git(ctx, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, fmt.Errorf("listing the files of %s: %w", p.dir, err)
	}
	all := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	slices.Sort(all)
	return slices.Compact(all), nil // a file in conflict is there several times
}

// write writes the archive of the project: the repository as .git, and the files of the working copy.
func (p *project) write(ctx context.Context, to io.Writer, repository string, log io.Writer) error {
	w := tar.NewWriter(to)
	add := func(dir, prefix string, names []string) error {
		root, err := os.OpenRoot(dir) // no link leads out of it
		if err != nil {
			return err
		}
		defer root.Close()
		for _, name := range names {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := addFile(w, root, name, prefix+name, log); err != nil {
				return fmt.Errorf("%q: %w", filepath.Join(dir, name), err)
			}
		}
		return nil
	}
	var parts []string
	err := fs.WalkDir(os.DirFS(filepath.Join(repository, ".git")), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && name != "." {
			parts = append(parts, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	files, err := p.files(ctx)
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(name string) bool {
		first, _, _ := strings.Cut(name, "/")
		return name == "" || strings.EqualFold(first, ".git")
	})
	if err := add(filepath.Join(repository, ".git"), ".git/", parts); err != nil {
		return err
	}
	if err := add(p.dir, "", files); err != nil {
		return err
	}
	return w.Close()
}

// addFile adds a file, link or empty folder to the archive. A file that is not there has been deleted in the working
// copy.
func addFile(w *tar.Writer, root *os.Root, name, as string, log io.Writer) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	h := &tar.Header{Name: as, Mode: int64(info.Mode().Perm())}
	switch {
	case info.Mode().IsRegular():
	case info.Mode()&fs.ModeSymlink != 0:
		if h.Linkname, err = root.Readlink(name); err != nil {
			return err
		}
		h.Typeflag = tar.TypeSymlink
		return w.WriteHeader(h)
	case info.IsDir():
		if !strings.HasPrefix(as, ".git/") {
			fmt.Fprintf(log, "%s is a submodule or another repository: its folder is empty in the job.\n", format.Printable(name, ""))
		}
		h.Typeflag = tar.TypeDir
		return w.WriteHeader(h)
	default:
		fmt.Fprintf(log, "%s is no file, link or folder: it is not copied.\n", format.Printable(name, ""))
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if n, err := io.Copy(w, io.LimitReader(f, h.Size)); err != nil {
		return err
	} else if n < h.Size {
		return errors.New("it was changed while it was copied; try again")
	}
	return nil
}
