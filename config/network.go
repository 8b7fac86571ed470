package config

import (
	"net/netip"
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

// Network configures the network that each job has of its own.
type Network struct {
	// Mode is "bridge"; other values are rejected with a reason.
	Mode string `toml:"mode"`
	// DNS lists the addresses of name servers; empty uses the engine's own choice.
	DNS []string `toml:"dns"`
	// DNSSearch lists the search domains.
	DNSSearch []string `toml:"dns_search"`
	// ExtraHosts lists "name:address"; the address may be "host-gateway".
	ExtraHosts []string `toml:"extra_hosts"`
	// MTU is the largest packet in bytes; 0 uses the engine's own choice.
	MTU int64 `toml:"mtu"`
	// Subnets lists the IPv4 ranges in which each job's network gets a subnet; empty leaves
	// it to the engine.
	Subnets []string `toml:"subnets"`
	// ExcludedSubnets lists ranges within them that stay free.
	ExcludedSubnets []string `toml:"excluded_subnets"`
	// IPv6 gives the job's network IPv6 addresses, too.
	IPv6 bool `toml:"ipv6"`
}

func defaultNetwork() Network {
	return Network{
		Mode: "bridge", DNS: []string{}, DNSSearch: []string{}, ExtraHosts: []string{},
		// Within the ranges that Docker itself takes for networks, and beside those that clouds take.
		Subnets: []string{"172.26.0.0/15"}, ExcludedSubnets: []string{},
	}
}

// smallestRange is the prefix length of the subnet of a job with few services.
const smallestRange = 27

// hostGateway means the host's address on the bridge.
const hostGateway = "host-gateway"

// A DNS name, as the engine and resolvers accept it.
var domain = lazyregexp.New(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?$`)

// leastMTU is for IPv4 (RFC 791) and leastMTU6 for IPv6 (RFC 8200).
const (
	leastMTU  = 68
	leastMTU6 = 1280
	mostMTU   = 65535
)

func (n *Network) check(k *checker) {
	switch {
	case n.Mode == "bridge":
	case n.Mode == "host":
		k.bad("network.mode", `"host" is not possible: Sysbox refuses a container in the host's network, where a job could reach everything that the host can; write "bridge"`)
	default:
		k.bad("network.mode", `%q is not possible: each job has a bridge of its own, on which only its services are; write "bridge"`, n.Mode)
	}
	for _, a := range n.DNS {
		if _, err := netip.ParseAddr(a); err != nil {
			k.bad("network.dns", `%q is not an address; write for example "192.0.2.53"`, a)
		}
	}
	for _, d := range n.DNSSearch {
		if d != "." && !domain().MatchString(d) {
			k.bad("network.dns_search", `%q is not a domain; write for example "example.com"`, d)
		}
	}
	for _, h := range n.ExtraHosts {
		name, address, found := strings.Cut(h, ":")
		_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"))
		if !found || !domain().MatchString(name) || err != nil && address != hostGateway {
			k.bad("network.extra_hosts", `%q is not name:address; write for example "registry.example.com:192.0.2.10", or host-gateway for the address`, h)
		}
	}
	checkRanges(k, "network.subnets", n.Subnets, smallestRange)
	checkRanges(k, "network.excluded_subnets", n.ExcludedSubnets, 32)
	least := int64(leastMTU)
	if n.IPv6 {
		least = leastMTU6
	}
	if n.MTU != 0 && (n.MTU < least || n.MTU > mostMTU) {
		k.bad("network.mtu", "%d is not from %d to %d; write for example 1400, or 0 for the engine's own choice", n.MTU, least, mostMTU)
	}
}

// checkRanges checks that all are IPv4 ranges with at most so many bits.
func checkRanges(k *checker, key string, all []string, most int) {
	for _, text := range all {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil || !p.Addr().Is4():
			k.bad(key, `%q is not an IPv4 range; write for example "172.26.0.0/15"`, text)
		case p != p.Masked():
			k.bad(key, "%q is an address within a range; write %q", text, p.Masked())
		case p.Bits() > most:
			k.bad(key, "%q is too small: the network of one job needs a /%d; write for example %q", text, most, netip.PrefixFrom(p.Addr(), 20).Masked())
		}
	}
}

// Ranges parses ranges that were checked.
func Ranges(all []string) []netip.Prefix {
	ranges := make([]netip.Prefix, len(all))
	for n, text := range all {
		ranges[n] = netip.MustParsePrefix(text)
	}
	return ranges
}
