package config

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hostPlaces are what a volume must not show to jobs without a leave. A readable one
// may be shown read-only: nothing in it is secret.
var hostPlaces = []struct {
	path     string
	readable bool
	reason   string
}{
	{"/proc", false, "which shows and changes the host's kernel and its processes"},
	{"/sys", false, "which shows and changes the host's kernel"},
	{"/dev", false, "which has the host's disks"},
	{"/var/lib/docker", false, "where the engine has the files of all containers"},
	{"/var/lib/containerd", false, "where containerd has the files of all containers"},
	{"/var/lib/sysbox", false, "where Sysbox has files of all containers"},
	{"/etc/gitlab-runner", false, "where the Runner's tokens are"},
	{"/etc/gitlab-sysbox-executor", false, "where the executor's configuration is"},
	{"/etc/shadow", false, "which has the host's passwords"},
	{"/etc/gshadow", false, "which has the host's passwords"},
	{"/etc/ssh", false, "where the host's keys are"},
	{"/etc/ssl/private", false, "where the host's keys are"},
	{"/root", false, "where root's keys are"},
	{"/boot", true, "by which who can write there commands the host"},
	{"/etc", true, "by which who can write there commands the host"},
	{"/usr", true, "by which who can write there commands the host"},
	{"/bin", true, "by which who can write there commands the host"},
	{"/sbin", true, "by which who can write there commands the host"},
	{"/lib", true, "by which who can write there commands the host"},
	{"/lib64", true, "by which who can write there commands the host"},
	{"/var/spool/cron", true, "by which who can write there commands the host"},
}

// sockets are those of engines, by which everybody who can connect is root.
var sockets = []string{
	"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
	"/run/docker/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
}

// unsafe tells each of what hardening.allow_unsafe gives leave for: its key, and what
// it opens.
func (c *Config) unsafe(each func(key, text string)) {
	const remount = `lets a job make every read-only mount of its containers writable (mount_setattr(2), which Sysbox does not see), so that it can change the images that all jobs share and each volume with ":ro"`
	for _, name := range c.Hardening.CapAdd {
		if name == "ALL" || strings.TrimPrefix(name, "CAP_") == "SYS_ADMIN" {
			each("hardening.cap_add", fmt.Sprintf("%q %s", name, remount))
		}
	}
	for _, text := range c.Hardening.SecurityOpt {
		if text == "seccomp=unconfined" {
			each("hardening.security_opt", fmt.Sprintf("%q %s", text, remount))
		}
	}
	if r := c.Services.Runtime; r != "" && r != c.Runtime {
		each("services.runtime", fmt.Sprintf("%q runs services, whose images are the jobs' choice, without what %q isolates: with runc their root is the host's, beside the job's volumes", r, c.Runtime))
	}
	for _, list := range []struct {
		key     string
		volumes []string
	}{{"container.volumes", c.Container.Volumes}, {"images.volumes", c.Images.Volumes}} {
		for _, text := range list.volumes {
			if place, reason := unsafeVolume(text); place != "" {
				each(list.key, fmt.Sprintf("%q: the source overlaps %s, %s", text, place, reason))
			}
		}
	}
}

// Unsafe are the settings that hardening.allow_unsafe gives leave for, each with what
// it opens.
func (c *Config) Unsafe() (all []string) {
	c.unsafe(func(key, text string) { all = append(all, key+": "+text) })
	return all
}

func (c *Config) checkUnsafe(k *checker) {
	if c.Hardening.AllowUnsafe {
		return
	}
	faults := map[string][]string{}
	c.unsafe(func(key, text string) {
		if k.sound(key) { // else it is no such thing yet
			faults[key] = append(faults[key], text)
		}
	})
	for key, texts := range faults {
		for _, text := range texts {
			k.bad(key, "%s; take it out, or write hardening.allow_unsafe = true if every job may do so", text)
		}
	}
}

// unsafeVolume tells what of the host's a volume would show to jobs that they must
// not have.
func unsafeVolume(text string) (place, reason string) {
	v, ok := ParseVolume(text)
	if !ok {
		return "", ""
	}
	for _, p := range hostPlaces {
		if v.Shows(p.path) && !(p.readable && v.ReadOnly) {
			return p.path, p.reason
		}
	}
	return "", ""
}

// Shows tells whether v's source is a folder or file of the host's that is place,
// below it or above it. Both are followed to where links lead.
func (v Volume) Shows(place string) bool {
	return path.IsAbs(v.Source) && Overlap(resolve(v.Source), resolve(place))
}

// engineSocket tells which engine's socket a volume is or has in it.
func (c *Config) engineSocket(v Volume) string {
	all := sockets
	if own, ok := strings.CutPrefix(c.Engine.Host, "unix://"); ok {
		all = append([]string{own}, sockets...)
	}
	if i := slices.IndexFunc(all, v.Shows); i >= 0 {
		return all[i]
	}
	return ""
}

// resolve follows the symbolic links in an absolute path, as far as it exists.
func resolve(p string) string {
	for dir := p; ; dir = path.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return path.Join(real, strings.TrimPrefix(p, dir))
		}
		if dir == path.Dir(dir) {
			return p
		}
	}
}
