package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/lazyregexp"
)

// Container describes a container to be made.
type Container struct {
	Name       string
	Image      string // ID or reference of a local image
	Platform   string // os/arch[/variant]; empty for the engine's default
	Runtime    string
	Hostname   string
	User       string
	WorkingDir string
	Entrypoint []string
	Cmd        []string
	Env        []string
	Labels     map[string]string
	Mounts     []Mount
	Tmpfs      map[string]string // path: mount options
	Network    string            // name of its network
	Aliases    []string          // its names in that network
	Names      Names
	Resources  Resources
	Rights     Rights
	LogOptions map[string]string // of the JSONFile driver; empty keeps the engine's default
	// Keep keeps the container, its log and its exit code after it stops. Otherwise
	// the engine removes the container then, and Sysbox does not copy its inner data
	// back.
	Keep       bool
	Health     *HealthPace
	StopSignal string // empty keeps the image's signal
}

// JSONFile is the engine's default log driver.
const JSONFile = "json-file"

// Names are the DNS settings of a container.
type Names struct {
	Servers []string // addresses
	Search  []string // domains
	Hosts   []string // name:address
}

// Rights are a container's permissions and its access to the machine.
type Rights struct {
	SecurityOpt     []string // in the engine's format; a seccomp profile is its JSON text
	CapAdd, CapDrop []string
	Sysctls         map[string]string
	Devices         []Device
	GPUs            string // "all", a number, or "device=" with numbers or names; empty for none
}

// Device is a host device in a container.
type Device struct{ Path, Rights string }

// HealthPace makes the engine run the image's health check at the interval Every until
// it first succeeds. Failures during Period do not count.
type HealthPace struct{ Every, Period time.Duration }

// MountKind is the source type of a mount.
type MountKind string

// The kinds of mounts.
const (
	Bind   MountKind = "bind"
	Volume MountKind = "volume"
)

// Mount is one mount of a container.
type Mount struct {
	Kind     MountKind
	Source   string // host path or volume name
	Target   string
	ReadOnly bool
	Labels   map[string]string // of a volume that the engine makes for the mount
}

// Resources are the limits of a container; zero means no limit. Sizes are in bytes.
type Resources struct {
	CPUs              float64
	CpusetCPUs        string
	Memory            int64
	MemorySwap        int64 // memory plus swap; -1 for no limit
	MemoryReservation int64
	PidsLimit         int64
	ShmSize           int64
	Ulimits           []string // name=soft:hard
	CgroupParent      string
}

func (r Resources) host() (container.Resources, error) {
	res := container.Resources{
		NanoCPUs:          int64(r.CPUs * 1e9),
		CpusetCpus:        r.CpusetCPUs,
		CgroupParent:      r.CgroupParent,
		Memory:            r.Memory,
		MemorySwap:        r.MemorySwap,
		MemoryReservation: r.MemoryReservation,
	}
	if r.PidsLimit > 0 {
		res.PidsLimit = &r.PidsLimit
	}
	for _, u := range r.Ulimits {
		ul, err := units.ParseUlimit(u)
		if err != nil {
			return res, fmt.Errorf("ulimit %q: %w", u, err)
		}
		res.Ulimits = append(res.Ulimits, ul)
	}
	return res, nil
}

// CreateContainer makes a container. Its anonymous volumes are removed with it.
func (e *Engine) CreateContainer(ctx context.Context, c Container) (id string, err error) {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return "", err
	}
	defer cancel()
	host, err := c.host()
	if err != nil {
		return "", err
	}
	platform, err := platform(c.Platform)
	if err != nil {
		return "", err
	}
	nets := &network.NetworkingConfig{}
	if c.Network != "" {
		nets.EndpointsConfig = map[string]*network.EndpointSettings{c.Network: {Aliases: c.Aliases}}
	}
	made, err := e.client.ContainerCreate(ctx, &container.Config{
		Image:       c.Image,
		Hostname:    c.Hostname,
		User:        c.User,
		WorkingDir:  c.WorkingDir,
		Entrypoint:  c.Entrypoint,
		Cmd:         c.Cmd,
		Env:         c.Env,
		Labels:      c.Labels,
		Healthcheck: e.health(ctx, c.Health),
		StopSignal:  c.StopSignal,
	}, host, nets, platform, c.Name)
	if err != nil {
		return "", e.wrap("creating container "+c.Name, err)
	}
	return made.ID, nil
}

func (c Container) host() (*container.HostConfig, error) {
	res, err := c.Resources.host()
	if err != nil {
		return nil, err
	}
	for _, d := range c.Rights.Devices {
		res.Devices = append(res.Devices, container.DeviceMapping{
			PathOnHost: d.Path, PathInContainer: d.Path, CgroupPermissions: d.Rights,
		})
	}
	if c.Rights.GPUs != "" {
		res.DeviceRequests = []container.DeviceRequest{gpus(c.Rights.GPUs)}
	}
	host := &container.HostConfig{
		Runtime:     c.Runtime,
		AutoRemove:  !c.Keep,
		Resources:   res,
		ShmSize:     c.Resources.ShmSize,
		NetworkMode: container.NetworkMode(c.Network),
		Tmpfs:       c.Tmpfs,
		DNS:         c.Names.Servers,
		DNSSearch:   c.Names.Search,
		ExtraHosts:  c.Names.Hosts,
		SecurityOpt: c.Rights.SecurityOpt,
		CapAdd:      c.Rights.CapAdd,
		CapDrop:     c.Rights.CapDrop,
		Sysctls:     c.Rights.Sysctls,
	}
	if len(c.LogOptions) > 0 {
		host.LogConfig = container.LogConfig{Type: JSONFile, Config: c.LogOptions}
	}
	for _, m := range c.Mounts {
		made := mount.Mount{Type: mount.Type(m.Kind), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Kind == Volume {
			// Without NoCopy the engine would copy the image's files into the volume,
			// for example the database of another storage driver.
			made.VolumeOptions = &mount.VolumeOptions{NoCopy: true, Labels: m.Labels}
		}
		host.Mounts = append(host.Mounts, made)
	}
	return host, nil
}

// gpus parses text as docker's --gpus does (docker/cli, opts/gpus.go).
func gpus(text string) container.DeviceRequest {
	r := container.DeviceRequest{Capabilities: [][]string{{"gpu"}}}
	if ids, ok := strings.CutPrefix(text, "device="); ok {
		r.DeviceIDs = strings.Split(ids, ",")
	} else if n, err := strconv.Atoi(text); err == nil {
		r.Count = n
	} else {
		r.Count = -1 // all
	}
	return r
}

// platform parses a platform; nil for the empty text.
func platform(text string) (*ocispec.Platform, error) {
	if text == "" {
		return nil, nil
	}
	p, err := platforms.Parse(text)
	return &p, err
}

// StartContainer starts a container that was created.
func (e *Engine) StartContainer(ctx context.Context, id string) error {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	if err := e.client.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return e.wrap("starting container "+id, err)
	}
	observe.Started(ctx)
	return nil
}

// StopContainer sends the stop signal to the container's first process, kills it after grace, and returns its exit
// code. If the container does not exist, the error is IsNotFound.
func (e *Engine) StopContainer(ctx context.Context, id string, grace time.Duration) (exit int, err error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	// The wait begins before the stop: the engine may remove the container as soon as it has ended.
	ended, failed := e.client.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	seconds := int(grace.Round(time.Second).Seconds())
	if err := e.client.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds}); err != nil {
		return 0, e.wrap("stopping container "+id, err)
	}
	select {
	case end := <-ended:
		return int(end.StatusCode), nil
	case err := <-failed:
		return 0, e.wrap("waiting for the end of container "+id, err)
	}
}

// RemoveContainer kills and removes a container with its anonymous volumes.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	err := e.client.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && strings.Contains(err.Error(), removalInProgress) && e.awaitRemoval(ctx, id) {
		return nil
	}
	return e.wrap("removing container "+id, err)
}

// ownRemovalTime limits the wait for a removal that the engine has begun by itself.
const ownRemovalTime = 5 * time.Second

// awaitRemoval reports whether the engine ends its own removal of a container soon. It removes a container
// that has ended, if it was told so at the creation.
func (e *Engine) awaitRemoval(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, ownRemovalTime)
	defer cancel()
	removed, failed := e.client.ContainerWait(ctx, id, container.WaitConditionRemoved)
	select {
	case r := <-removed:
		return r.Error == nil
	case err := <-failed:
		return IsNotFound(err)
	}
}

// Found is a resource on the engine.
type Found struct {
	ID     string
	Name   string
	Labels map[string]string
	Made   time.Time
	// Paths are the host's folders and devices behind it, if the list contains them.
	Paths []string
}

// Details are the resources that belong to a container.
type Details struct {
	Volumes []string // names
	// Anonymous are the volumes that were not requested: the engine made them because
	// the image declares them.
	Anonymous []string
	Paths     []string // host folders of its root file system
}

// Look returns a container's details.
func (e *Engine) Look(ctx context.Context, id string) (Details, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	c, err := e.client.ContainerInspect(ctx, id)
	if err != nil {
		return Details{}, e.wrap("looking at container "+id, err)
	}
	var d Details
	for _, m := range c.Mounts {
		if m.Type != mount.TypeVolume {
			continue
		}
		d.Volumes = append(d.Volumes, m.Name)
		if randomName().MatchString(m.Name) && c.ContainerJSONBase != nil && !askedFor(c.HostConfig, m.Name) {
			d.Anonymous = append(d.Anonymous, m.Name)
		}
	}
	if c.ContainerJSONBase != nil {
		for _, part := range []string{"MergedDir", "UpperDir"} {
			if path := c.GraphDriver.Data[part]; path != "" {
				d.Paths = append(d.Paths, path)
			}
		}
	}
	return d, nil
}

// randomName matches the engine's names for volumes that it makes for an image's VOLUME.
var randomName = lazyregexp.New(`^[0-9a-f]{64}$`)

// askedFor reports whether the volume was requested for the container. Such a volume is not
// anonymous, whatever its name looks like.
func askedFor(host *container.HostConfig, volume string) bool {
	if host == nil {
		return true
	}
	return slices.ContainsFunc(host.Mounts, func(m mount.Mount) bool { return m.Source == volume }) ||
		slices.ContainsFunc(host.Binds, func(b string) bool { return strings.HasPrefix(b, volume+":") })
}

// Users lists the containers that use a volume or a network.
func (e *Engine) Users(ctx context.Context, kind, id string) ([]string, error) {
	if kind != "volume" && kind != "network" {
		return nil, nil
	}
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.asking.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg(kind, id))})
	if err != nil {
		return nil, e.wrap("listing containers", err)
	}
	var users []string
	for _, c := range list {
		users = append(users, fmt.Sprintf("container %s (%.12s)", strings.TrimPrefix(strings.Join(c.Names, ","), "/"), c.ID))
	}
	return users, nil
}

// FindContainers lists containers, running or not, with the label label=value.
func (e *Engine) FindContainers(ctx context.Context, label, value string) ([]Found, error) {
	return e.containers(ctx, labelled(label, value))
}

func (e *Engine) containers(ctx context.Context, which filters.Args) ([]Found, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.asking.ContainerList(ctx, container.ListOptions{All: true, Filters: which})
	if err != nil {
		return nil, e.wrap("listing containers", err)
	}
	var found []Found
	for _, c := range list {
		f := Found{ID: c.ID, Labels: c.Labels, Made: time.Unix(c.Created, 0)}
		if len(c.Names) > 0 {
			f.Name = strings.TrimPrefix(c.Names[0], "/")
		}
		found = append(found, f)
	}
	return found, nil
}

func labelled(label, value string) filters.Args {
	if value != "" {
		label += "=" + value
	}
	return filters.NewArgs(filters.Arg("label", label))
}
