package engine

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/network"
)

// Network describes a bridge network to be made.
type Network struct {
	Name   string
	Labels map[string]string
	MTU    int64 // bytes; 0 for the engine's default
	// Subnet is the IPv4 subnet; the zero Prefix leaves it to the engine.
	Subnet netip.Prefix
	// Subnet6 is an additional IPv6 subnet in CIDR form; empty for none.
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
	o.IPAM = &network.IPAM{}
	if n.Subnet.IsValid() {
		o.IPAM.Config = append(o.IPAM.Config, network.IPAMConfig{Subnet: n.Subnet.String()})
	}
	if n.Subnet6 != "" {
		yes := true
		o.EnableIPv6 = &yes
		o.IPAM.Config = append(o.IPAM.Config, network.IPAMConfig{Subnet: n.Subnet6})
	}
	_, err = e.client.NetworkCreate(ctx, n.Name, o)
	return e.wrap("creating network "+n.Name, err)
}

// IsOverlapping reports whether the engine refused a network because another one has its addresses
// ("Pool overlaps with other one on this address space", libnetwork/ipamapi).
func IsOverlapping(err error) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), "overlaps with other one on this address space")
}

// Subnets are those of all networks, in IPv4 and IPv6.
func (e *Engine) Subnets(ctx context.Context) ([]netip.Prefix, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	list, err := e.client.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, e.wrap("listing networks", err)
	}
	var all []netip.Prefix
	for _, n := range list {
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil { // other drivers' networks may have none
				all = append(all, p)
			}
		}
	}
	return all, nil
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
