package engine

import (
	"context"
	"strconv"

	"github.com/docker/docker/api/types/network"
)

// Network describes a bridge network to be made.
type Network struct {
	Name   string
	Labels map[string]string
	MTU    int64 // bytes; 0 for the engine's default
	// Subnet6 is an additional IPv6 subnet in CIDR form; empty for none. The engine
	// chooses the IPv4 subnet.
	Subnet6 string
}

// CreateNetwork makes a bridge network. Network names must be unique to this program,
// because the engine accepts a second network with the same name.
func (e *Engine) CreateNetwork(ctx context.Context, n Network) error {
	ctx, cancel, err := e.creating(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	o := network.CreateOptions{Driver: "bridge", Labels: n.Labels, Options: map[string]string{}}
	if n.MTU > 0 {
		o.Options["com.docker.network.driver.mtu"] = strconv.FormatInt(n.MTU, 10)
	}
	if n.Subnet6 != "" {
		yes := true
		o.EnableIPv6, o.IPAM = &yes, &network.IPAM{Config: []network.IPAMConfig{{Subnet: n.Subnet6}}}
	}
	_, err = e.client.NetworkCreate(ctx, n.Name, o)
	return e.wrap("creating network "+n.Name, err)
}

// RemoveNetwork removes a network by name or ID.
func (e *Engine) RemoveNetwork(ctx context.Context, id string) error {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	return e.wrap("removing network "+id, e.client.NetworkRemove(ctx, id))
}

// FindNetworks lists networks with the label label=value.
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
