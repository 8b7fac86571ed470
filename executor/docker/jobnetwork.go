package docker

import (
	"crypto/rand"
	"fmt"
	"net/netip"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
)

// keepDataRoot refuses an administrator's volume that shows the engine's own data:
// where that is, the engine knows, and not the configuration.
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

// jobNetwork is the job's own bridge.
func jobNetwork(p job.Plan) engine.Network {
	n := engine.Network{Name: p.Identity.Name(), Labels: labels(p, job.RoleNetwork), MTU: p.Network.MTU}
	if p.Network.IPv6 {
		n.Subnet6 = subnet6()
	}
	return n
}

// subnet6 is a unique local subnet (RFC 4193), taken at random so that nobody knows it
// beforehand: engines before 27 have no IPv6 addresses of their own to give.
func subnet6() string {
	address := [16]byte{0: 0xfd}
	_, _ = rand.Read(address[1:8]) // it never fails (crypto/rand)
	return netip.PrefixFrom(netip.AddrFrom16(address), 64).String()
}

// checkIPv6 refuses IPv6 on an engine that leaves the way open between the networks of
// different jobs.
func checkIPv6(p job.Plan, info engine.Info) error {
	if !p.Network.IPv6 || info.IPv6Apart || p.Hardening.AllowUnsafe {
		return nil
	}
	return fmt.Errorf("network.ipv6: Docker Engine %s does not keep the IPv6 of different networks apart, so each job could reach the services of all others; use Engine 27 or later, take it out of the executor's configuration, or write hardening.allow_unsafe = true", info.Version)
}
