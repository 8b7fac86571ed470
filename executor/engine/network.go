package engine

import (
	"context"

	"github.com/docker/docker/api/types/network"
)

// CreateNetwork makes a bridge network. The engine takes a second network of the
// same name without complaint, so the name must be ours alone.
func (e *Engine) CreateNetwork(ctx context.Context, name string, labels map[string]string) error {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = e.client.NetworkCreate(ctx, name, network.CreateOptions{Driver: "bridge", Labels: labels})
	return e.wrap("creating network "+name, err)
}

// RemoveNetwork removes a network by name or ID.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	return e.wrap("removing network "+id, e.client.NetworkRemove(ctx, id))
}

// FindNetworks lists networks that carry label=value.
func (e *Engine) FindNetworks(ctx context.Context, label, value string) ([]Found, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.client.NetworkList(ctx, network.ListOptions{Filters: labelled(label, value)})
	if err != nil {
		return nil, e.wrap("listing networks", err)
	}
	var found []Found
	for _, n := range list {
		found = append(found, Found{ID: n.ID, Name: n.Name, Labels: n.Labels, Made: n.Created})
	}
	return found, nil
}
