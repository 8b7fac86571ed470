package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/walk"
)

// isolationTime bounds the trial of an isolation. On a quiet machine it takes less than a second.
const isolationTime = time.Minute

// isolationTool chooses the program for the trial of isolation rootless. Without one, the fault says why no trial is
// needed: it could not succeed. Both are empty if no program of the image builds images.
func isolationTool(uid int, has func(program string) bool, tun bool) (tool, fault string) {
	switch {
	case has("buildah"):
		tool = "buildah"
	case has("podman"):
		tool = "podman"
	default:
		return "", ""
	}
	switch {
	case uid != 0:
		return "", "it works for root only"
	case !has("crun") && !has("runc"):
		return "", "the image has neither crun nor runc"
	case has("slirp4netns") && !tun:
		return "", "the slirp4netns of the image needs /dev/net/tun"
	}
	return tool, ""
}

// setIsolation finds out whether the isolation s.TryIsolation works in this container, and reports it in r.
func (r *InspectResponse) setIsolation(s storage.Settings, a account, env []string, deadline time.Time) {
	env = a.environ(env)
	if slices.ContainsFunc(env, func(kv string) bool {
		chosen, ok := strings.CutPrefix(kv, "BUILDAH_ISOLATION=")
		return ok && chosen != s.Isolation
	}) {
		return // the image's entrypoint has chosen
	}
	tool, fault := isolationTool(a.UID, func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	}, exists("/dev/net/tun"))
	if tool != "" {
		s.Isolation = s.TryIsolation
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		ctx, cancel = context.WithTimeout(ctx, isolationTime)
		defer cancel()
		if err := tryIsolation(ctx, tool, s, a, env); err != nil {
			fault = err.Error()
		} else {
			r.Isolation = s.Isolation
		}
	}
	r.IsolationFault = fault
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tryIsolation builds an image of one RUN line with these settings, in a store of its own on the storage volume. It
// leaves nothing behind.
func tryIsolation(ctx context.Context, tool string, s storage.Settings, a account, env []string) (err error) {
	top, err := os.MkdirTemp(storage.Mountpoint, ".run-")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, walk.RemovePath(context.WithoutCancel(ctx), storage.Mountpoint, filepath.Base(top)))
	}()
	const said = "the output of a RUN line"
	file, folder := filepath.Join(top, "Dockerfile"), filepath.Join(top, "context")
	if err := os.WriteFile(file, fmt.Appendf(nil, "FROM scratch\nRUN [\"/agent\", \"agent\", \"print\", %q]\n", said), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, tool, "--root", filepath.Join(top, "root"), "--runroot", filepath.Join(top, "run"), "--storage-driver", s.Driver,
		"build", "--volume", Path+":/agent:ro", "--file", file, folder)
	c.Dir, c.Env, c.SysProcAttr, c.WaitDelay = "/", append(env, s.Environment()...), a.attributes(), 100*time.Millisecond
	// The mounts of a killed build end with its mount namespace.
	c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	out, err := c.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out[max(0, len(out)-4096):])), "\n")
	switch {
	case ctx.Err() != nil:
		return errors.New("the trial took too long")
	case err != nil:
		return fmt.Errorf("%s build: %w: %s", tool, err, lines[len(lines)-1])
	case !slices.Contains(lines, said):
		return fmt.Errorf("%s build lost the output of a RUN line", tool)
	}
	return nil
}
