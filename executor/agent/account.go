package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// account is who a process of the job runs as.
type account struct {
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Groups []int  `json:"groups"`
	Home   string `json:"home,omitempty"`
}

// lookup resolves user[:group] against the container's own passwd and group
// files, as the engine does. Its error is the job's fault: it names a user that
// the image does not have.
func lookup(spec string) (account, error) {
	e, err := user.GetExecUserPath(spec, &user.ExecUser{Home: "/"}, "/etc/passwd", "/etc/group")
	if err != nil {
		return account{}, fmt.Errorf("user %q is not one of the image's: %w", spec, err)
	}
	return account{UID: e.Uid, GID: e.Gid, Groups: append([]int{e.Gid}, e.Sgids...), Home: e.Home}, nil
}

// attributes start a process as a, in a session of its own so that a signal to
// its group reaches nobody else.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr // not root (tests): there is nobody else to become
	}
	c := &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	for _, g := range a.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	attr.Credential = c
	return attr
}

// start runs a program as a in dir, which may be one that a cannot enter: a runtime
// goes there first, too. Pipes among files become a's, as a runtime would give them:
// else /dev/stdout could not be opened (runc, fixStdioPermissions).
func (a account) start(path string, argv []string, dir string, env []string, files []uintptr) (int, error) {
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return 0, fmt.Errorf("starting %s: %w", path, err)
	}
	defer func() { _ = os.Chdir("/") }() // else it would be in use for as long as we are there
	for _, fd := range files {
		var s unix.Stat_t
		if unix.Fstat(int(fd), &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFIFO {
			_ = unix.Fchown(int(fd), a.UID, -1) // at worst it is as it was
		}
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Files: files, Sys: a.attributes()})
	if err != nil {
		return 0, fmt.Errorf("starting %s in %s: %w", path, dir, err)
	}
	return pid, nil
}

// remake makes a folder for everybody's temporary files again where it is gone: one
// in the project's folder goes when git cleans it. With a's own rights to files, for
// the path may lead through links of the job's; if they do not do, whoever uses the
// folder says so.
func (a account) remake(dir string) {
	if _, err := os.Lstat(dir); dir == "" || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = Folder{Path: dir, Mode: 0o1777, ByUser: true}.make(a)
}

// withRights calls do with a's rights to files, and with no others: on a thread of its
// own, which do does not leave.
func (a account) withRights(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its rights with it
		err := a.takeRights()
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// takeRights gives the calling thread a's rights to files. Only root has others.
func (a account) takeRights() error {
	if os.Geteuid() != 0 {
		return nil
	}
	groups := make([]uint32, len(a.Groups), len(a.Groups)+1)
	for n, g := range a.Groups {
		groups[n] = uint32(g)
	}
	// Go's own Setgroups is for all threads.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	// These tell of no error, but of what was set before (setfsuid(2)).
	for _, set := range []struct {
		set func(int) (int, error)
		id  int
	}{{unix.SetfsgidRetGid, a.GID}, {unix.SetfsuidRetUid, a.UID}} {
		_, _ = set.set(set.id)
		if now, err := set.set(-1); err != nil || now != set.id {
			return fmt.Errorf("the container has no user or group %d", set.id)
		}
	}
	return nil
}

// environ is env with HOME as the engine would set it for a: the HOME that is
// there may be the one that the runtime gave to our own process, which is root's.
func (a account) environ(env []string) []string {
	ours := ""
	if a.UID != os.Geteuid() {
		if me, err := lookup(strconv.Itoa(os.Geteuid())); err == nil {
			ours = me.Home
		}
	}
	var kept []string
	for _, kv := range env {
		home, ok := strings.CutPrefix(kv, "HOME=")
		if !ok {
			kept = append(kept, kv)
		} else if home != "" && home != ours {
			return env
		}
	}
	home := a.Home
	if home == "" {
		home = "/"
	}
	return append(kept, "HOME="+home)
}
