package engine

import (
	"context"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
)

// CreateVolume makes a volume of the engine's local driver with the given driver options;
// without options it is a plain folder. It succeeds if the volume already exists with the
// same options.
func (e *Engine) CreateVolume(ctx context.Context, name string, options, labels map[string]string) error {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = e.client.VolumeCreate(ctx, volume.CreateOptions{
		Name: name, Driver: "local", DriverOpts: options, Labels: labels,
	})
	return e.wrap("creating volume "+name, err)
}

// RemoveVolume removes a volume. No container may use it.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	return e.wrap("removing volume "+name, e.client.VolumeRemove(ctx, name, false))
}

// FindVolumes lists volumes with the label label=value. A volume's ID is its name.
func (e *Engine) FindVolumes(ctx context.Context, label, value string) ([]Found, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.client.VolumeList(ctx, volume.ListOptions{Filters: labelled(label, value)})
	if err != nil {
		return nil, e.wrap("listing volumes", err)
	}
	var found []Found
	for _, v := range list.Volumes {
		found = append(found, foundVolume(v))
	}
	return found, nil
}

// FindVolume finds the volume with this name, whatever its labels are.
func (e *Engine) FindVolume(ctx context.Context, name string) (Found, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	v, err := e.client.VolumeInspect(ctx, name)
	if err != nil {
		return Found{}, e.wrap("looking at volume "+name, err)
	}
	return foundVolume(&v), nil
}

func foundVolume(v *volume.Volume) Found {
	f := Found{ID: v.Name, Name: v.Name, Labels: v.Labels, Paths: []string{v.Mountpoint}}
	f.Made, _ = time.Parse(time.RFC3339, v.CreatedAt) // an invalid time counts as old
	if device := v.Options["device"]; strings.HasPrefix(device, "/dev/") {
		f.Paths = append(f.Paths, device)
	}
	return f
}

// VolumeUsers lists the containers, running or not, that use the volume.
func (e *Engine) VolumeUsers(ctx context.Context, name string) ([]Found, error) {
	return e.containers(ctx, filters.NewArgs(filters.Arg("volume", name)))
}

// VolumeSizes returns the size in bytes of each volume of the local driver. The engine
// reads all files of all volumes for this.
func (e *Engine) VolumeSizes(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	// Engines before API 1.42 ignore the type and report the sizes of everything.
	use, err := e.client.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
	if err != nil {
		return nil, e.wrap("measuring volumes", err)
	}
	sizes := map[string]int64{}
	for _, v := range use.Volumes {
		if v != nil && v.UsageData != nil {
			sizes[v.Name] = v.UsageData.Size
		}
	}
	return sizes, nil
}
