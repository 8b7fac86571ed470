package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/subnet"
)

// keepDataRoot refuses a configured volume that contains the engine's data folder. The
// configuration check cannot do so: only the engine knows this folder.
func keepDataRoot(p job.Plan, root string) error {
	if p.Hardening.AllowUnsafe || root == "" {
		return nil
	}
	for _, text := range p.Container.Volumes {
		if v, _ := config.ParseVolume(text); v.Shows(root) {
			return fmt.Errorf("container.volumes: %q: the source overlaps %s, where the engine has the files of all containers; take it out of the executor's configuration, or write hardening.allow_unsafe = true if every job may do so", text, root)
		}
	}
	return nil
}

// createNetwork makes the job's network after it has written it to the journal.
func (b *Backend) createNetwork(ctx context.Context, j *journal.Journal, p job.Plan) error {
	n := jobNetwork(p)
	n.Labels = b.mark(n.Labels)
	if err := j.Intend(intent(journal.Network, n.Name)); err != nil {
		return err
	}
	err := b.inFreeSubnet(ctx, p, func(s netip.Prefix) error {
		n.Subnet = s
		return b.Engine.CreateNetwork(ctx, n)
	})
	answered(j, journal.Network, n.Name, err)
	return err
}

// subnetTries limits the attempts to make a network. In between, somebody else may take the subnet.
const subnetTries = 10

// inFreeSubnet calls make with a subnet of network.subnets that nothing else has, and with another one if
// the engine has given that one away meanwhile. Jobs choose one after the other. Without network.subnets,
// the engine chooses.
func (b *Backend) inFreeSubnet(ctx context.Context, p job.Plan, make func(netip.Prefix) error) error {
	if len(p.Network.Subnets) == 0 {
		return make(netip.Prefix{})
	}
	unlock, err := b.Dir.LockSubnets(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	taken, err := b.takenSubnets(ctx)
	if err != nil {
		return err
	}
	taken = append(taken, config.Ranges(p.Network.ExcludedSubnets)...)
	for range subnetTries {
		var s netip.Prefix
		length := subnet.Bits(len(p.Services) + 2) // with the job container and the helper container
		if s, err = subnet.Choose(config.Ranges(p.Network.Subnets), taken, length); err != nil {
			return fmt.Errorf("the job's network: no /%d is free in network.subnets (%s): other networks, this machine's routes and network.excluded_subnets take them all; add a range, or remove networks that nobody uses (docker network prune)", length, strings.Join(p.Network.Subnets, ", "))
		}
		if err = make(s); !engine.IsOverlapping(err) {
			return err
		}
		taken = append(taken, s)
	}
	return err
}

// takenSubnets are those of the engine's networks and, if the engine is on this machine, its routes.
func (b *Backend) takenSubnets(ctx context.Context) ([]netip.Prefix, error) {
	taken, err := b.Engine.Subnets(ctx)
	if err != nil || !b.Room.Local {
		return taken, err
	}
	routes, err := subnet.Routes()
	return append(taken, routes...), err
}

// jobNetwork is the bridge network of the job.
func jobNetwork(p job.Plan) engine.Network {
	n := engine.Network{Name: p.Identity.Name(), Labels: labels(p, job.RoleNetwork), MTU: p.Network.MTU}
	if p.Network.IPv6 {
		n.Subnet6 = subnet6()
	}
	return n
}

// subnet6 is a random unique local subnet (RFC 4193), so that it cannot be guessed.
// Engines before 27 do not assign IPv6 subnets by themselves.
func subnet6() string {
	address := [16]byte{0: 0xfd}
	_, _ = rand.Read(address[1:8]) // crypto/rand.Read never fails
	return netip.PrefixFrom(netip.AddrFrom16(address), 64).String()
}

// checkIPv6 refuses IPv6 if the engine does not isolate the IPv6 networks of different
// jobs from each other.
func checkIPv6(p job.Plan, info engine.Info) error {
	if !p.Network.IPv6 || info.IPv6Apart || p.Hardening.AllowUnsafe {
		return nil
	}
	return fmt.Errorf("network.ipv6: Docker Engine %s does not keep the IPv6 of different networks apart, so each job could reach the services of all others; use Engine 27 or later, take it out of the executor's configuration, or write hardening.allow_unsafe = true", info.Version)
}
