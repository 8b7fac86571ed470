// Package subnet chooses the IPv4 subnet of a job's network. Docker's own pools have room for 31 networks
// (https://docs.docker.com/engine/network/#subnet-allocation).
package subnet

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Smallest is the prefix length of most jobs' subnets: 29 addresses beside the bridge's own.
const Smallest = 27

// Bits is the prefix length of a subnet that has room for so many containers.
func Bits(containers int) int {
	// The subnet's own address, the bridge's and the broadcast address are not the containers'.
	return min(Smallest, 32-bits.Len(uint(containers+2)))
}

// ErrNone means that no subnet is free.
var ErrNone = errors.New("no subnet is free")

// Choose returns a subnet of this length in the ranges that overlaps none that is taken. It begins at a
// random one, so that two who choose at the same time seldom meet. It returns ErrNone if there is none.
func Choose(ranges, taken []netip.Prefix, length int) (netip.Prefix, error) {
	if len(ranges) == 0 {
		return netip.Prefix{}, ErrNone
	}
	first := rand.IntN(len(ranges))
	for n := range ranges {
		if found, ok := within(ranges[(first+n)%len(ranges)], taken, length); ok {
			return found, nil
		}
	}
	return netip.Prefix{}, ErrNone
}

// within chooses in one range.
func within(whole netip.Prefix, taken []netip.Prefix, length int) (netip.Prefix, bool) {
	if length < whole.Bits() || !whole.Addr().Is4() {
		return netip.Prefix{}, false
	}
	count := uint32(1) << (length - whole.Bits())
	first := rand.Uint32N(count)
	for n := range count {
		candidate := nth(whole.Masked(), (first+n)%count, length)
		if !slices.ContainsFunc(taken, candidate.Overlaps) {
			return candidate, true
		}
	}
	return netip.Prefix{}, false
}

// nth is the nth subnet of a length.
func nth(whole netip.Prefix, n uint32, length int) netip.Prefix {
	a := whole.Addr().As4()
	at := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	at += n << (32 - length)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), length)
}

// Routes are the destinations of all IPv4 routes of this machine, in all tables, except for default routes.
func Routes() ([]netip.Prefix, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing the machine's routes: %w", err)
	}
	var all []netip.Prefix
	for _, r := range routes {
		if p, ok := prefix(r.Dst); ok {
			all = append(all, p)
		}
	}
	return all, nil
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	length, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), length), ok && length > 0
}
