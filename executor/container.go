package executor

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// What follows turns parts of a plan into what the engine takes. The
// configuration has checked them.

// sharedMounts are those that the job container and its services have in common.
func (x *Executor) sharedMounts(p Plan) []engine.Mount {
	all := slices.Concat(x.storageMounts(p), p.Folders.mounts())
	all = append(all, x.sharedMount(p.Identity))
	return append(all, configuredMounts(p.Container.Volumes, p.Identity)...)
}

// configuredMounts are those of an administrator's list, for the containers of i.
func configuredMounts(volumes []string, i Identity) (all []engine.Mount) {
	for n, text := range volumes {
		v, _ := config.ParseVolume(text)
		kind := engine.Volume
		switch {
		case filepath.IsAbs(v.Source):
			kind = engine.Bind
		case v.Source == "":
			v.Source = sharedVolume(i, n)
		}
		all = append(all, engine.Mount{Kind: kind, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly})
	}
	return all
}

// keepDataRoot refuses an administrator's volume that shows the engine's own data:
// where that is, the engine knows, and not the configuration.
func keepDataRoot(p Plan, root string) error {
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
	ours := pairs(settings)
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
func labels(p Plan, role job.Role) map[string]string {
	all := pairs(p.Container.Labels)
	maps.Copy(all, p.Identity.Labels(role))
	return all
}

func pairs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		all[name] = value
	}
	return all
}

// logOptions are those that containers are made with on an engine whose own log
// driver is the named one. The engine takes options with a driver only.
func logOptions(c config.Container, driver string) []string {
	if c.DefaultLog() && driver != engine.JSONFile {
		return nil
	}
	return c.LogOptions
}

func tmpfs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		target, options := config.ParseTmpfs(text)
		all[target] = options
	}
	return all
}

func resources(r config.Resources) engine.Resources {
	return engine.Resources{
		CPUs: r.CPUs, CpusetCPUs: r.CpusetCPUs, Memory: int64(r.Memory), MemorySwap: int64(r.MemorySwap),
		MemoryReservation: int64(r.MemoryReservation), PidsLimit: r.PidsLimit,
		ShmSize: int64(r.ShmSize), Ulimits: r.Ulimits, CgroupParent: r.CgroupParent,
	}
}

func names(n config.Network) engine.Names {
	return engine.Names{Servers: n.DNS, Search: n.DNSSearch, Hosts: n.ExtraHosts}
}

// jobNetwork is the job's own bridge.
func jobNetwork(p Plan) engine.Network {
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
func checkIPv6(p Plan, info engine.Info) error {
	if !p.Network.IPv6 || info.IPv6Apart || p.Hardening.AllowUnsafe {
		return nil
	}
	return fmt.Errorf("network.ipv6: Docker Engine %s does not keep the IPv6 of different networks apart, so each job could reach the services of all others; use Engine 27 or later, take it out of the executor's configuration, or write hardening.allow_unsafe = true", info.Version)
}

// jobRights are those of the job container; a service has no devices.
func jobRights(p Plan) (engine.Rights, error) {
	r, err := serviceRights(p)
	if err != nil {
		return r, err
	}
	r.Sysctls, r.GPUs = pairs(p.Hardening.Sysctls), p.Container.GPUs
	for _, text := range p.Container.Devices {
		d, _ := config.ParseDevice(text)
		r.Devices = append(r.Devices, engine.Device(d))
	}
	return r, nil
}

func serviceRights(p Plan) (engine.Rights, error) {
	r := engine.Rights{CapAdd: p.Hardening.CapAdd, CapDrop: p.Hardening.CapDrop}
	for _, text := range p.Hardening.SecurityOpt {
		if file, ok := strings.CutPrefix(text, "seccomp="); ok && filepath.IsAbs(file) {
			profile, err := seccomp(file)
			if err != nil {
				return r, fmt.Errorf("hardening.security_opt: %w", err)
			}
			text = "seccomp=" + profile
		}
		r.SecurityOpt = append(r.SecurityOpt, text)
	}
	return r, nil
}

// seccomp is a profile's text: the engine takes no file.
func seccomp(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the seccomp profile: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return "", fmt.Errorf("the seccomp profile %s is not JSON: %w", file, err)
	}
	return b.String(), nil
}
