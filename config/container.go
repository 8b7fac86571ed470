package config

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Container is what a job's containers are made with beyond limits and rights.
type Container struct {
	// Hostname of the job container; "" for the one that GitLab's Docker
	// executor gives.
	Hostname string `toml:"hostname"`
	// Volumes lists "source:target", "source:target:ro" or "target", for the job
	// container and its services. A source is an absolute path of the host's or the
	// name of one of the engine's volumes; without one it is a volume that each job
	// has of its own, and that goes with it.
	Volumes []string `toml:"volumes"`
	// Tmpfs lists "path" or "path:options", for the job container.
	Tmpfs []string `toml:"tmpfs"`
	// Devices lists "device" or "device:device:rights" with rights of the letters
	// r, w, m, for the job container.
	Devices []string `toml:"devices"`
	// GPUs is docker's: "all", a number, or "device=" with numbers or names.
	GPUs string `toml:"gpus"`
	// Labels lists name=value, for all containers of a job.
	Labels []string `toml:"labels"`
	// LogOptions lists name=value of the json-file log driver; empty for the
	// engine's own driver and options. See DefaultLog.
	LogOptions []string `toml:"log_options"`
}

func defaultContainer() Container {
	return Container{Volumes: []string{}, Tmpfs: []string{}, Devices: []string{}, Labels: []string{}, LogOptions: defaultLogOptions()}
}

// defaultLogOptions bound a container's log to 30 MB.
func defaultLogOptions() []string { return []string{"max-size=10m", "max-file=3"} }

// DefaultLog reports whether LogOptions are the defaults. These bound what the
// json-file driver writes; they are no wish for that driver where the engine's own
// is another.
func (c Container) DefaultLog() bool { return slices.Equal(c.LogOptions, defaultLogOptions()) }

var (
	hostLabel    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`) // RFC 1123
	volumeName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]+$`)                  // the engine's
	mountOptions = regexp.MustCompile(`^[a-z]+(=[A-Za-z0-9%:_-]+)?(,[a-z]+(=[A-Za-z0-9%:_-]+)?)*$`)
	gpus         = regexp.MustCompile(`^(all|[0-9]{1,3}|device=[A-Za-z0-9-]+(,[A-Za-z0-9-]+)*)$`)
	labelName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
)

// logOptions are the json-file driver's
// (https://docs.docker.com/engine/logging/drivers/json-file/).
var logOptions = []string{"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"}

func (c *Config) checkContainer(k *checker) {
	if h := c.Container.Hostname; h != "" && !hostLabel.MatchString(h) {
		k.bad("container.hostname", `%q is not the name of a host: letters, digits and "-", 63 at most; write for example "ci"`, h)
	}
	c.checkVolumes(k, "container.volumes", c.Container.Volumes, true)
	k.tmpfs("container.tmpfs", c.Container.Tmpfs, c.Container.Volumes)
	for _, d := range c.Container.Devices {
		if _, ok := ParseDevice(d); !ok {
			k.bad("container.devices", `%q is not device or device:device:rights with one path below /dev (under Sysbox a device keeps its path); write for example "/dev/ttyUSB0" or "/dev/snd:/dev/snd:rw"`, d)
		}
	}
	if g := c.Container.GPUs; g != "" && !gpus.MatchString(g) {
		k.bad("container.gpus", `%q is not possible; write "all", a number, or for example "device=0,2"`, g)
	}
	k.pairs("container.labels", c.Container.Labels, "com.example.team=ci", func(name, _ string) string {
		switch {
		case strings.HasPrefix(name, "io.gitlab-sysbox-executor."):
			return "begins like the executor's own labels, by which it finds what to remove"
		case strings.HasPrefix(name, "com.gitlab.gitlab-runner."):
			return "begins like the labels by which GitLab Runner's own tools remove containers"
		case !labelName.MatchString(name):
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

// Volume is one of Container.Volumes in its parts.
type Volume struct {
	Source   string // empty for a volume of the job's own
	Target   string
	ReadOnly bool
}

// ParseVolume takes "source:target" with or without ":ro" or ":rw", or a target alone.
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

// ownPlaces are the executor's in a job's container, beside what the file says.
var ownPlaces = []struct{ path, reason string }{
	{"/opt/gitlab-sysbox-executor", "holds the executor's agent"},
	{"/var/cache/gitlab-sysbox-executor", "holds the cache mounts that are kept"},
	{"/opt/gitlab-sysbox-executor-images", "holds the images that all jobs share"},
	{"/etc/containers/storage.conf", "tells container tools which storage driver works"},
	{"/etc/containers/containers.conf", "tells container tools what works in a container"},
	{"/etc/containers/containers-rootless.conf", "tells container tools what works in a container"},
	{"/etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf", "tells container tools which storage driver works"},
	{"/etc/systemd/system.conf.d/zz-gitlab-sysbox-executor.conf", "gives services of systemd's the job's TMPDIR"},
	{"/etc/systemd/user.conf.d/zz-gitlab-sysbox-executor.conf", "gives services of systemd's the job's TMPDIR"},
	{"/etc/systemd/system.conf.d/50-gitlab-sysbox-executor.conf", "gives services of systemd's the tools' settings"},
	{"/etc/systemd/user.conf.d/50-gitlab-sysbox-executor.conf", "gives services of systemd's the tools' settings"},
}

// checkVolumes checks a list of volumes; jobs is as for checkVolume.
func (c *Config) checkVolumes(k *checker, key string, list []string, jobs bool) {
	seen := map[string]string{} // by target: the engine refuses a container with two at one
	for _, text := range list {
		c.checkVolume(k, key, text, jobs)
		v, ok := ParseVolume(text)
		if first, twice := seen[v.Target]; ok && twice {
			k.bad(key, "%q: the target is that of %q, too; keep one", text, first)
		} else {
			seen[v.Target] = text
		}
	}
}

// checkVolume checks one of the volumes of a list; jobs tells that it is one for
// jobs' containers, where a volume may be the job's own.
func (c *Config) checkVolume(k *checker, key, text string, jobs bool) {
	forms := "source:target or source:target:ro"
	right := `write for example "/srv/models:/models:ro", or "name:/path" for a volume of the engine's`
	if jobs {
		forms = "source:target, source:target:ro or an absolute path"
		right = `write for example "/srv/models:/models:ro", "name:/path" for a volume of the engine's, or "/path" for one of each job's own`
	}
	v, ok := ParseVolume(text)
	if !ok || v.Source == "" && !jobs {
		k.bad(key, "%q is not %s; %s", text, forms, right)
		return
	}
	switch {
	case v.Source != "" && !path.IsAbs(v.Source) && !volumeName.MatchString(v.Source):
		k.bad(key, "%q: the source %q is neither an absolute path nor the name of a volume; %s", text, v.Source, right)
		return
	case path.IsAbs(v.Source) && (path.Clean(v.Source) != v.Source || v.Source == "/"):
		k.bad(key, "%q: the source is the whole file system or not the plain form of its path; %s", text, right)
		return
	case v.Shows(c.StateDir):
		k.bad(key, "%q: the source overlaps state_dir %q, where other jobs' files are; %s", text, c.StateDir, right)
		return
	case c.engineSocket(v) != "":
		k.bad(key, "%q: the source is or has in it an engine's socket, %s: who can connect to it is root on the host; %s", text, c.engineSocket(v), right)
		return
	case !path.IsAbs(v.Target) || path.Clean(v.Target) != v.Target || v.Target == "/":
		k.bad(key, "%q: the target is not the plain form of an absolute path; %s", text, right)
		return
	}
	if place, reason := c.taken(v.Target); place != "" {
		k.bad(key, "%q: the target overlaps %s, which %s; choose another", text, place, reason)
	}
}

// Reserved tells which of the system's and the executor's own places in a job's
// container a mount at target would be on, below or above; none when place is empty.
func Reserved(target string) (place, reason string) {
	for _, s := range slices.Concat(systemDirs, ownPlaces) {
		// Secrets are commonly mounted below /run, which Sysbox keeps visible there.
		below := s.path == "/run" && strings.HasPrefix(target, "/run/") && target != "/run/lock"
		if Overlap(target, s.path) && !below {
			return s.path, s.reason
		}
	}
	return "", ""
}

// taken tells which place a volume may not be mounted on, below or above.
func (c *Config) taken(target string) (place, reason string) {
	if place, reason := Reserved(target); place != "" {
		return place, reason
	}
	for key, dir := range map[string]string{
		"job.builds_dir": c.Job.BuildsDir, "job.cache_dir": c.Job.CacheDir, "storage.tmpdir": c.Storage.TmpDir,
	} {
		if Overlap(target, dir) {
			return key + " " + strconv.Quote(dir), "is the job's own"
		}
	}
	return "", ""
}

// ParseTmpfs takes "path" or "path:options".
func ParseTmpfs(text string) (target, options string) {
	target, options, _ = strings.Cut(text, ":")
	return target, options
}

// tmpfs checks a list of file systems in memory, which are in one container with
// volumes.
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
			strings.HasSuffix(text, ":") || options != "" && !mountOptions.MatchString(options):
			k.bad(key, `%q is not path or path:options; write for example "/tmp:size=1g,mode=1777"`, text)
			continue
		case seen[target] != "":
			k.bad(key, "%q: the path is that of %s, too; keep one", text, seen[target])
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

// Device is one of Container.Devices in its parts; Rights are letters of "rwm".
type Device struct{ Path, Rights string }

// ParseDevice takes "device", "device:device" and "device:device:rights", docker's
// forms. The path is one: in a user namespace runc mounts the host's node of the
// container's path, whatever path of the host's was asked for.
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

// pairs wants name=value, each name once; objection says what is wrong with one.
func (k *checker) pairs(key string, list []string, example string, objection func(name, value string) string) {
	seen := map[string]bool{}
	for _, text := range list {
		name, value, found := strings.Cut(text, "=")
		switch {
		case !found || name == "" || strings.ContainsFunc(name, blank) || strings.ContainsRune(value, 0):
			k.bad(key, "%q is not name=value; write for example %q", text, example)
		case seen[name]:
			k.bad(key, "%s stands there twice; keep one", name)
		default:
			if what := objection(name, value); what != "" {
				k.bad(key, "%s %s; write for example %q", name, what, example)
			}
		}
		seen[name] = true
	}
}
