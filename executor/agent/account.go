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

// account is the identity of a process of the job.
type account struct {
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Groups []int  `json:"groups"`
	Home   string `json:"home,omitempty"`
}

// lookup resolves user[:group] against the container's own passwd and group files, as the
// engine does. Its error is the job's fault: it names a user that the image lacks.
func lookup(spec string) (account, error) {
	e, err := user.GetExecUserPath(spec, &user.ExecUser{Home: "/"}, "/etc/passwd", "/etc/group")
	if err != nil {
		return account{}, fmt.Errorf("user %q is not in the image: %w", spec, err)
	}
	return account{UID: e.Uid, GID: e.Gid, Groups: append([]int{e.Gid}, e.Sgids...), Home: e.Home}, nil
}

// attributes start a process as a, in a session of its own: a signal to its group then
// reaches no other process.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr // not root (tests): no other account can be taken
	}
	c := &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	for _, g := range a.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	attr.Credential = c
	return attr
}

// start is startWith in a session of its own, without a terminal.
func (a account) start(path string, argv []string, dir string, env []string, files []uintptr) (int, error) {
	return a.startWith(a.attributes(), path, argv, dir, env, files)
}

// startWith runs a program as a in dir. It enters dir as root, as a runtime does, because a may
// lack the permission. It gives pipes among files to a, as a runtime does: otherwise the
// program could not open /dev/stdout (runc, fixStdioPermissions).
func (a account) startWith(attr *syscall.SysProcAttr, path string, argv []string, dir string, env []string, files []uintptr) (int, error) {
	if dir == "" {
		dir = "/"
	}
	if err := os.Chdir(dir); err != nil {
		return 0, fmt.Errorf("starting %s: %w", path, err)
	}
	defer func() { _ = os.Chdir("/") }() // otherwise this process would keep dir busy
	for _, fd := range files {
		var s unix.Stat_t
		if unix.Fstat(int(fd), &s) == nil && s.Mode&unix.S_IFMT == unix.S_IFIFO {
			_ = unix.Fchown(int(fd), a.UID, -1) // on failure the owner is unchanged
		}
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: env, Files: files, Sys: attr})
	if err != nil {
		return 0, fmt.Errorf("starting %s in %s: %w", path, dir, err)
	}
	return pid, nil
}

// remake creates a missing folder for temporary files of every user again: git clean removes
// one that is in the project's folder. It uses a's file permissions, because the path may
// lead through links of the job. If they do not suffice, the program that uses the folder
// reports it.
func (a account) remake(dir string) {
	if _, err := os.Lstat(dir); dir == "" || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = Folder{Path: dir, Mode: 0o1777, ByUser: true}.make(a)
}

// withRights calls do with a's file permissions only, on a thread of its own. do must not
// start goroutines that need them.
func (a account) withRights(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := a.takeRights()
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// takeRights gives the calling thread a's file permissions. Without root there is nothing to change.
func (a account) takeRights() error {
	if os.Geteuid() != 0 {
		return nil
	}
	groups := make([]uint32, len(a.Groups), len(a.Groups)+1)
	for n, g := range a.Groups {
		groups[n] = uint32(g)
	}
	// Go's own Setgroups changes all threads.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	// These calls return no error, only the previous value (setfsuid(2)).
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

// environ returns env with HOME as the engine would set it for a: the HOME in env may be
// root's, which the runtime gave to this process.
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
