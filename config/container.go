package config

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

// Container has the options of a job's containers other than limits and rights.
type Container struct {
	// Hostname is the job container's; "" uses the one of GitLab's Docker executor.
	Hostname string `toml:"hostname"`
	// Volumes lists "source:target", "source:target:ro" or "target", for the job container
	// and its services. A source is an absolute path on the host or the name of one of the
	// engine's volumes. Without a source each job gets a new volume, which is removed with
	// the job.
	Volumes []string `toml:"volumes"`
	// Tmpfs lists "path" or "path:options", for the job container.
	Tmpfs []string `toml:"tmpfs"`
	// Devices lists "device" or "device:device:rights", for the job container; rights are
	// the letters r, w and m.
	Devices []string `toml:"devices"`
	// GPUs uses docker's notation: "all", a number, or "device=" with numbers or names.
	GPUs string `toml:"gpus"`
	// Labels lists name=value, for all containers of a job.
	Labels []string `toml:"labels"`
	// LogOptions lists name=value of the json-file log driver. Empty uses the engine's own
	// driver and options. See DefaultLog.
	LogOptions []string `toml:"log_options"`
}

func defaultContainer() Container {
	return Container{Volumes: []string{}, Tmpfs: []string{}, Devices: []string{}, Labels: []string{}, LogOptions: defaultLogOptions()}
}

// defaultLogOptions limit a container's log to 30 MB.
func defaultLogOptions() []string { return []string{"max-size=10m", "max-file=3"} }

// DefaultLog reports whether LogOptions are the defaults. The defaults limit the json-file
// driver; they do not select it if the engine uses another driver.
func (c Container) DefaultLog() bool { return slices.Equal(c.LogOptions, defaultLogOptions()) }

var (
	hostLabel    = lazyregexp.New(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`) // RFC 1123
	volumeName   = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9_.-]+$`)                  // the engine's
	mountOptions = lazyregexp.New(`^[a-z]+(=[A-Za-z0-9%:_-]+)?(,[a-z]+(=[A-Za-z0-9%:_-]+)?)*$`)
	gpus         = lazyregexp.New(`^(all|[0-9]{1,3}|device=[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*)$`)
	labelName    = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
)

// logOptions are the json-file driver's
// (https://docs.docker.com/engine/logging/drivers/json-file/).
var logOptions = []string{"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"}

func (c *Config) checkContainer(k *checker) {
	if h := c.Container.Hostname; h != "" && !hostLabel().MatchString(h) {
		k.bad("container.hostname", `%q is not the name of a host: letters, digits and "-", 63 at most; write for example "ci"`, h)
	}
	c.checkVolumes(k, "container.volumes", c.Container.Volumes, true)
	k.tmpfs("container.tmpfs", c.Container.Tmpfs, c.Container.Volumes)
	for _, d := range c.Container.Devices {
		if _, ok := ParseDevice(d); !ok {
			k.bad("container.devices", `%q is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`, d)
		}
	}
	if g := c.Container.GPUs; g != "" && !gpus().MatchString(g) {
		k.bad("container.gpus", `%q is not possible; write "all", a number, or for example "device=0,2"`, g)
	}
	k.pairs("container.labels", c.Container.Labels, "com.example.team=ci", func(name, _ string) string {
		switch {
		case strings.HasPrefix(name, "io.gitlab-sysbox-executor."):
			return "has the prefix of the executor's own labels, which mark what a cleanup removes"
		case strings.HasPrefix(name, "com.gitlab.gitlab-runner."):
			return "has the prefix of the labels that mark what GitLab Runner's own tools remove"
		case !labelName().MatchString(name):
			return "is not the name of a label"
		}
		return ""
	})
	k.pairs("container.log_options", c.Container.LogOptions, "max-size=10m", func(name, _ string) string {
		if !slices.Contains(logOptions, name) {
			return "is not an option of the json-file log driver: those are " + strings.Join(logOptions, ", ")
		}
		return ""
	})
}

// Pairs converts a list of NAME=value to a map.
func Pairs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		all[name] = value
	}
	return all
}

// Volume is a parsed entry of Container.Volumes.
type Volume struct {
	Source   string // empty for a new volume for each job
	Target   string
	ReadOnly bool
}

// ParseVolume parses "source:target" with or without ":ro" or ":rw", or a target alone.
func ParseVolume(text string) (Volume, bool) {
	parts := strings.Split(text, ":")
	if len(parts) == 1 && path.IsAbs(text) {
		return Volume{Target: text}, true
	}
	if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
		return Volume{}, false
	}
	return Volume{parts[0], parts[1], len(parts) == 3 && parts[2] == "ro"}, true
}

// ownPlaces are the executor's own paths in a job's container that no key sets.
var ownPlaces = []struct{ path, reason string }{
	{"/opt/gitlab-sysbox-executor", "holds the executor's agent"},
	{"/var/cache/gitlab-sysbox-executor", "holds the cache mounts that are kept"},
	{"/opt/gitlab-sysbox-executor-images", "holds the images that all jobs share"},
	{"/etc/containers/storage.conf", "sets the storage driver of container tools"},
	{"/etc/containers/containers.conf", "sets the defaults of container tools"},
	{"/etc/containers/containers-rootless.conf", "sets the defaults of container tools"},
	{"/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf", "sets the storage driver of container tools"},
	{"/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf", "sets TMPDIR for systemd's services"},
	{"/etc/systemd/user.conf.d/zz-gitlab-sysbox-executor.conf", "sets TMPDIR for systemd's services"},
	{"/etc/systemd/system.conf.d/50-gitlab-sysbox-executor.conf", "sets the tools' settings for systemd's services"},
	{"/etc/systemd/user.conf.d/50-gitlab-sysbox-executor.conf", "sets the tools' settings for systemd's services"},
}

// checkVolumes checks a list of volumes; jobs means the same as for checkVolume.
func (c *Config) checkVolumes(k *checker, key string, list []string, jobs bool) {
	seen := map[string]string{} // by target: the engine rejects two volumes at one target
	for _, text := range list {
		c.checkVolume(k, key, text, jobs)
		v, ok := ParseVolume(text)
		if first, twice := seen[v.Target]; ok && twice {
			k.bad(key, "%q: the target is the same as that of %q; keep one", text, first)
		} else {
			seen[v.Target] = text
		}
	}
}

// checkVolume checks one volume of a list. If jobs is true, the list is for the jobs'
// containers, and a volume may have no source.
func (c *Config) checkVolume(k *checker, key, text string, jobs bool) {
	forms := "source:target or source:target:ro"
	right := `write for example "/srv/models:/models:ro", or "name:/path" for one of the engine's volumes`
	if jobs {
		forms = "source:target, source:target:ro or an absolute path"
		right = `write for example "/srv/models:/models:ro", "name:/path" for one of the engine's volumes, or "/path" for a new volume for each job`
	}
	v, ok := ParseVolume(text)
	if !ok || v.Source == "" && !jobs {
		k.bad(key, "%q is not %s; %s", text, forms, right)
		return
	}
	switch {
	case v.Source != "" && !path.IsAbs(v.Source) && !volumeName().MatchString(v.Source):
		k.bad(key, "%q: the source %q is neither an absolute path nor the name of a volume; %s", text, v.Source, right)
		return
	case path.IsAbs(v.Source) && (path.Clean(v.Source) != v.Source || v.Source == "/"):
		k.bad(key, "%q: the source is the root of the file system or not a clean path; %s", text, right)
		return
	case v.Shows(c.StateDir):
		k.bad(key, "%q: the source overlaps state_dir %q, where other jobs' files are; %s", text, c.StateDir, right)
		return
	case c.engineSocket(v) != "":
		k.bad(key, "%q: the source is or contains an engine's socket, %s: a process that connects to it has root on the host; %s", text, c.engineSocket(v), right)
		return
	case !path.IsAbs(v.Target) || path.Clean(v.Target) != v.Target || v.Target == "/":
		k.bad(key, "%q: the target is not a clean absolute path; %s", text, right)
		return
	}
	if place, reason := c.taken(v.Target); place != "" {
		k.bad(key, "%q: the target overlaps %s, which %s; choose another", text, place, reason)
	}
}

// Reserved returns the first path of the system or the executor in a job's container that a
// mount at target would overlap; place is empty if there is none.
func Reserved(target string) (place, reason string) {
	for _, s := range slices.Concat(systemDirs, ownPlaces) {
		// Secrets are often mounted below /run, where Sysbox keeps them visible.
		below := s.path == "/run" && strings.HasPrefix(target, "/run/") && target != "/run/lock"
		if Overlap(target, s.path) && !below {
			return s.path, s.reason
		}
	}
	return "", ""
}

// taken returns the reserved path that a volume at target would overlap.
func (c *Config) taken(target string) (place, reason string) {
	if place, reason := Reserved(target); place != "" {
		return place, reason
	}
	for key, dir := range map[string]string{
		"job.builds_dir": c.Job.BuildsDir, "job.cache_dir": c.Job.CacheDir, "storage.tmpdir": c.Storage.TmpDir,
	} {
		if Overlap(target, dir) {
			return key + " " + strconv.Quote(dir), "belongs to the job"
		}
	}
	return "", ""
}

// ParseTmpfs parses "path" or "path:options".
func ParseTmpfs(text string) (target, options string) {
	target, options, _ = strings.Cut(text, ":")
	return target, options
}

// tmpfs checks a list of in-memory file systems that share a container with volumes.
func (k *checker) tmpfs(key string, list, volumes []string) {
	seen := map[string]string{} // by target: one would hide the other
	for _, text := range volumes {
		if v, ok := ParseVolume(text); ok {
			seen[v.Target] = strconv.Quote(text) + " in container.volumes"
		}
	}
	for _, text := range list {
		target, options := ParseTmpfs(text)
		switch {
		case !path.IsAbs(target) || path.Clean(target) != target || target == "/" ||
			strings.HasSuffix(text, ":") || options != "" && !mountOptions().MatchString(options):
			k.bad(key, `%q is not path or path:options; write for example "/tmp:size=1g,mode=1777"`, text)
			continue
		case seen[target] != "":
			k.bad(key, "%q: the path is the same as that of %s; keep one", text, seen[target])
			continue
		}
		seen[target] = strconv.Quote(text)
		for _, s := range slices.Concat(systemDirs, ownPlaces) {
			if Overlap(target, s.path) && s.path != "/run" {
				k.bad(key, "%q overlaps %s, which %s; choose another path", text, s.path, s.reason)
			}
		}
	}
}

// Device is a parsed entry of Container.Devices; Rights are letters of "rwm".
type Device struct{ Path, Rights string }

// ParseDevice parses docker's forms "device", "device:device" and "device:device:rights".
// Both paths must be equal: in a user namespace runc mounts the host's device node at the
// container's path and ignores the host's path.
func ParseDevice(text string) (Device, bool) {
	host, rest, _ := strings.Cut(text, ":")
	inside, rights, given := strings.Cut(rest, ":")
	if !given {
		rights = "rwm"
	}
	ok := strings.HasPrefix(host, "/dev/") && path.Clean(host) == host &&
		(rest == "" && !strings.HasSuffix(text, ":") || inside == host) &&
		rights != "" && strings.Trim(rights, "rwm") == ""
	return Device{host, rights}, ok
}

// pairs requires name=value with unique names; objection returns why one is not allowed.
func (k *checker) pairs(key string, list []string, example string, objection func(name, value string) string) {
	seen := map[string]bool{}
	for _, text := range list {
		name, value, found := strings.Cut(text, "=")
		switch {
		case !found || name == "" || strings.ContainsFunc(name, blank) || strings.ContainsRune(value, 0):
			k.bad(key, "%q is not name=value; write for example %q", text, example)
		case seen[name]:
			k.bad(key, "%s is set twice; keep one", name)
		default:
			if what := objection(name, value); what != "" {
				k.bad(key, "%s %s; write for example %q", name, what, example)
			}
		}
		seen[name] = true
	}
}
