package engine

import (
	"context"
	"fmt"
	"regexp"
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
)

// Container is what we ask for when a container is made.
type Container struct {
	Name       string
	Image      string // an image ID or reference that the engine holds
	Platform   string // os/arch[/variant]; empty for the engine's own
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
	Network    string            // name of the network it joins
	Aliases    []string          // its names there
	Names      Names
	Resources  Resources
	Rights     Rights
	LogOptions map[string]string // of the JSONFile driver; none leave the engine's own
	// Keep leaves the container, its log and its exit code in place when it stops.
	// Otherwise the engine removes it then, which also spares Sysbox the copying
	// back of inner data.
	Keep       bool
	Health     *HealthPace
	StopSignal string // what asks its first process to end; empty for the image's own
}

// JSONFile is the name of the log driver that is the engine's own unless its
// configuration names another.
const JSONFile = "json-file"

// Names says where a container looks names up.
type Names struct {
	Servers []string // addresses
	Search  []string // domains
	Hosts   []string // name:address
}

// Rights are what a container may do and use of the machine.
type Rights struct {
	SecurityOpt     []string // as the engine takes them: a seccomp profile is its text
	CapAdd, CapDrop []string
	Sysctls         map[string]string
	Devices         []Device
	GPUs            string // "all", a number, or "device=" with numbers or names; empty for none
}

// Device is one of the host's in a container.
type Device struct{ Path, Rights string }

// HealthPace makes the engine run an image's own health check often until it
// first succeeds, for Period at most, in which its failures do not count.
type HealthPace struct{ Every, Period time.Duration }

// MountKind is how a mount gets its content.
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
	Labels   map[string]string // of a volume that the engine lacks, and makes for the mount
}

// Resources are the limits of a container; zero values set none. Sizes are bytes.
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

// CreateContainer makes a container; anonymous volumes go with it.
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
			// What the image has there would be copied in, a store of another
			// storage driver with its database for one.
			made.VolumeOptions = &mount.VolumeOptions{NoCopy: true, Labels: m.Labels}
		}
		host.Mounts = append(host.Mounts, made)
	}
	return host, nil
}

// gpus asks for GPUs as docker's --gpus does (docker/cli, opts/gpus.go).
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

// platform is what the text says, as the engine takes it; nil for none.
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
	return e.wrap("starting container "+id, e.client.ContainerStart(ctx, id, container.StartOptions{}))
}

// StopContainer asks the container's first process to end and kills it after
// grace. A container that does not exist is an IsNotFound error.
func (e *Engine) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	seconds := int(grace.Round(time.Second).Seconds())
	return e.wrap("stopping container "+id, e.client.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds}))
}

// RemoveContainer kills and removes a container with its anonymous volumes.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	return e.wrap("removing container "+id, e.client.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true}))
}

// Found is a resource that the engine holds.
type Found struct {
	ID     string
	Name   string
	Labels map[string]string
	Made   time.Time
	// Paths are the host's folders and devices behind it, as far as a list tells.
	Paths []string
}

// Details are what belongs to a container without being it.
type Details struct {
	Volumes []string // by name
	// Anonymous are those of Volumes that nobody asked for: the engine made them
	// because the image declares them.
	Anonymous []string
	Paths     []string // the host's folders of its root file system
}

// Look asks for a container's details.
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
		if randomName.MatchString(m.Name) && c.ContainerJSONBase != nil && !askedFor(c.HostConfig, m.Name) {
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

// randomName is what the engine calls a volume that it makes for an image's VOLUME.
var randomName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// askedFor tells whether a container was asked for with the volume: such a one is
// somebody's, whatever its name looks like.
func askedFor(host *container.HostConfig, volume string) bool {
	if host == nil {
		return true
	}
	return slices.ContainsFunc(host.Mounts, func(m mount.Mount) bool { return m.Source == volume }) ||
		slices.ContainsFunc(host.Binds, func(b string) bool { return strings.HasPrefix(b, volume+":") })
}

// Users names the containers that use a volume or a network.
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

// FindContainers lists containers, running or not, that carry label=value.
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
