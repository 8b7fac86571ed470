package docker

import (
	"crypto/rand"
	"fmt"
	"net/netip"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
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
