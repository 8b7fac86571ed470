// Package spec turns the configuration, which has checked its own values, into what an
// engine takes.
package spec

import (
	"path/filepath"
	"strings"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/engine"
)

// Mounts are those of an administrator's list (container.volumes). Own is the name of
// the volume for the nth entry, where that names none.
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

// Pairs are the entries of a list of NAME=value.
func Pairs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		all[name] = value
	}
	return all
}

// Tmpfs are the options of file systems in memory by the paths of these.
func Tmpfs(list []string) map[string]string {
	all := map[string]string{}
	for _, text := range list {
		target, options := config.ParseTmpfs(text)
		all[target] = options
	}
	return all
}

// Resources are a container's limits.
func Resources(r config.Resources) engine.Resources {
	return engine.Resources{
		CPUs: r.CPUs, CpusetCPUs: r.CpusetCPUs, Memory: int64(r.Memory), MemorySwap: int64(r.MemorySwap),
		MemoryReservation: int64(r.MemoryReservation), PidsLimit: r.PidsLimit,
		ShmSize: int64(r.ShmSize), Ulimits: r.Ulimits, CgroupParent: r.CgroupParent,
	}
}

// Names are where a container looks up host names.
func Names(n config.Network) engine.Names {
	return engine.Names{Servers: n.DNS, Search: n.DNSSearch, Hosts: n.ExtraHosts}
}

// LogOptions are those that containers are made with on an engine whose own log
// driver is the named one. The engine takes options with a driver only.
func LogOptions(c config.Container, driver string) map[string]string {
	if c.DefaultLog() && driver != engine.JSONFile {
		return nil
	}
	return Pairs(c.LogOptions)
}
