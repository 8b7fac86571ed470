package config

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// hostPlaces are host paths that a volume may show to jobs only with allow_unsafe. A readable
// one may be mounted read-only: it contains no secret.
var hostPlaces = []struct {
	path     string
	readable bool
	reason   string
}{
	{"/proc", false, "which gives access to the host's kernel and processes"},
	{"/sys", false, "which gives access to the host's kernel"},
	{"/dev", false, "which contains the host's disks"},
	{"/var/lib/docker", false, "where the engine keeps the files of all containers"},
	{"/var/lib/containerd", false, "where containerd keeps the files of all containers"},
	{"/var/lib/sysbox", false, "where Sysbox keeps files of all containers"},
	{"/etc/gitlab-runner", false, "where the Runner's tokens are"},
	{"/etc/gitlab-sysbox-executor", false, "where the executor's configuration is"},
	{"/etc/shadow", false, "which contains the host's passwords"},
	{"/etc/gshadow", false, "which contains the host's passwords"},
	{"/etc/ssh", false, "where the host's keys are"},
	{"/etc/ssl/private", false, "where the host's keys are"},
	{"/root", false, "where root's keys are"},
	{"/boot", true, "where write access gives control of the host"},
	{"/etc", true, "where write access gives control of the host"},
	{"/usr", true, "where write access gives control of the host"},
	{"/bin", true, "where write access gives control of the host"},
	{"/sbin", true, "where write access gives control of the host"},
	{"/lib", true, "where write access gives control of the host"},
	{"/lib64", true, "where write access gives control of the host"},
	{"/var/spool/cron", true, "where write access gives control of the host"},
}

// sockets are those of engines: a process that connects to one has root on the host.
var sockets = []string{
	"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
	"/run/docker/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
}

// unsafe calls each for every setting that needs hardening.allow_unsafe, with its key and what
// it gives access to.
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
		each("services.runtime", fmt.Sprintf("%q runs services without the isolation of %q: jobs choose their images, and with runc their root is the host's root, next to the job's volumes", r, c.Runtime))
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

// Unsafe lists the settings that need hardening.allow_unsafe, each with what it gives access
// to.
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
		if k.sound(key) { // a faulty value opens nothing yet
			faults[key] = append(faults[key], text)
		}
	})
	for key, texts := range faults {
		for _, text := range texts {
			k.bad(key, "%s; remove it, or write hardening.allow_unsafe = true if every job may do so", text)
		}
	}
}

// unsafeVolume returns the path of the host that a volume would show to jobs and must not.
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

// Shows reports whether the source of v overlaps place on the host. Links in both are
// followed.
func (v Volume) Shows(place string) bool {
	return path.IsAbs(v.Source) && Overlap(resolve(v.Source), resolve(place))
}

// engineSocket returns the engine's socket that a volume is or contains.
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

// resolve follows the symbolic links in the existing part of an absolute path.
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
