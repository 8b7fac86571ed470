package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/user"
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
