// Package spec converts the configuration to the engine's types. The configuration has already checked
// its values.
package spec

import (
	"path/filepath"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
)

// Mounts converts an administrator's list (container.volumes). Own returns the name of the volume for the
// nth entry, if the entry does not name one.
func Mounts(volumes []string, own func(n int) string) (all []engine.Mount) {
	for n, text := range volumes {
		v, _ := config.ParseVolume(text)
		kind := engine.Volume
		switch {
		case filepath.IsAbs(v.Source):
			kind = engine.Bind
		case v.Source == "":
			v.Source = own(n)
		}
		all = append(all, engine.Mount{Kind: kind, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly})
	}
	return all
}

// Targets are the mount points of mounts.
func Targets(mounts []engine.Mount) []string {
	all := make([]string, len(mounts))
	for n, m := range mounts {
		all[n] = m.Target
	}
	return all
}

// Tmpfs converts a list of path:options to a map from path to options.
func Tmpfs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		target, options := config.ParseTmpfs(text)
		all[target] = options
	}
	return all
}

// Resources converts the limits of a container.
func Resources(r config.Resources) engine.Resources {
	return engine.Resources{
		CPUs: r.CPUs, CpusetCPUs: r.CpusetCPUs, Memory: int64(r.Memory), MemorySwap: int64(r.MemorySwap),
		MemoryReservation: int64(r.MemoryReservation), PidsLimit: r.PidsLimit,
		ShmSize: int64(r.ShmSize), Ulimits: r.Ulimits, CgroupParent: r.CgroupParent,
	}
}

// Names converts the DNS settings of a container.
func Names(n config.Network) engine.Names {
	return engine.Names{Servers: n.DNS, Search: n.DNSSearch, Hosts: n.ExtraHosts}
}

// LogOptions are the log options of containers on an engine with this default log driver. The engine
// accepts options only together with a driver.
func LogOptions(c config.Container, driver string) map[string]string {
	if c.DefaultLog() && driver != engine.JSONFile {
		return nil
	}
	return config.Pairs(c.LogOptions)
}
