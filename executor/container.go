package executor

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
)

// What follows turns parts of a plan into what the engine takes. The
// configuration has checked them.

// sharedMounts are those that the job container and its services have in common.
func (x *Executor) sharedMounts(p plan) []engine.Mount {
	all := slices.Concat(x.storageMounts(p), p.volumes.mounts(p.Folders))
	all = append(all, x.sharedMount(p.Identity))
	return append(all, spec.Mounts(p.Container.Volumes, func(n int) string { return sharedVolume(p.Identity, n) })...)
}

// keepDataRoot refuses an administrator's volume that shows the engine's own data:
// where that is, the engine knows, and not the configuration.
func keepDataRoot(p plan, root string) error {
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

// withStorage is the environment with the storage settings, each name once: a
// program may take the first of two.
func withStorage(environment []string, s storage.Settings) []string {
	settings := s.Environment()
	ours := spec.Pairs(settings)
	var all []string
	for _, kv := range environment {
		name, _, _ := strings.Cut(kv, "=")
		if _, taken := ours[name]; !taken {
			all = append(all, kv)
		}
	}
	return append(all, settings...)
}

// labels are the administrator's and the job's identity.
func labels(p plan, role job.Role) map[string]string {
	all := spec.Pairs(p.Container.Labels)
	maps.Copy(all, p.Identity.Labels(role))
	return all
}

// jobNetwork is the job's own bridge.
func jobNetwork(p plan) engine.Network {
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
func checkIPv6(p plan, info engine.Info) error {
	if !p.Network.IPv6 || info.IPv6Apart || p.Hardening.AllowUnsafe {
		return nil
	}
	return fmt.Errorf("network.ipv6: Docker Engine %s does not keep the IPv6 of different networks apart, so each job could reach the services of all others; use Engine 27 or later, take it out of the executor's configuration, or write hardening.allow_unsafe = true", info.Version)
}
