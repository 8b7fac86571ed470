package subnet

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(all ...string) (parsed []netip.Prefix) {
	for _, p := range all {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

func TestBits(t *testing.T) {
	for containers, want := range map[int]int{0: 27, 2: 27, 29: 27, 30: 26, 61: 26, 62: 25, 1000: 22} {
		if got := Bits(containers); got != want {
			t.Errorf("%d containers: /%d, want /%d", containers, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		ranges, taken []netip.Prefix
		length        int
		want          []string // one of them
	}{
		"the only one":                  {prefixes("10.0.0.0/27"), nil, 27, []string{"10.0.0.0/27"}},
		"a range that is not masked":    {prefixes("10.0.0.5/27"), nil, 27, []string{"10.0.0.0/27"}},
		"the other half":                {prefixes("10.0.0.0/26"), prefixes("10.0.0.0/27"), 27, []string{"10.0.0.32/27"}},
		"beside a smaller one":          {prefixes("10.0.0.0/26"), prefixes("10.0.0.40/30"), 27, []string{"10.0.0.0/27"}},
		"within a larger one":           {prefixes("10.0.0.0/26", "10.9.0.0/27"), prefixes("10.0.0.0/8"), 27, nil},
		"another range":                 {prefixes("10.0.0.0/26", "192.168.9.0/26"), prefixes("10.0.0.0/8"), 26, []string{"192.168.9.0/26"}},
		"a range that is too small":     {prefixes("10.0.0.0/28", "10.1.0.0/27"), nil, 27, []string{"10.1.0.0/27"}},
		"no range":                      {nil, nil, 27, nil},
		"the last addresses of all":     {prefixes("255.255.255.192/26"), prefixes("255.255.255.192/27"), 27, []string{"255.255.255.224/27"}},
		"IPv6 has other subnets":        {prefixes("fd00::/64"), nil, 27, nil},
		"an IPv6 network takes nothing": {prefixes("10.0.0.0/27"), prefixes("::/0"), 27, []string{"10.0.0.0/27"}},
	} {
		got, err := Choose(c.ranges, c.taken, c.length)
		if c.want == nil && !errors.Is(err, ErrNone) || c.want != nil && (err != nil || !slices.Contains(c.want, got.String())) {
			t.Errorf("%s: %s, %v; want one of %v", name, got, err, c.want)
		}
	}
}

// Every subnet of a range is found before none is.
func TestChooseAll(t *testing.T) {
	var taken []netip.Prefix
	for n := range 256 {
		p, err := Choose(prefixes("10.1.0.0/19"), taken, 27)
		if err != nil {
			t.Fatalf("after %d: %v", n, err)
		}
		taken = append(taken, p)
	}
	if p, err := Choose(prefixes("10.1.0.0/19"), taken, 27); !errors.Is(err, ErrNone) {
		t.Error(p, err)
	}
}

// The loopback's route is in every table of a machine.
func TestRoutes(t *testing.T) {
	all, err := Routes()
	if err != nil || !slices.ContainsFunc(all, netip.MustParsePrefix("127.0.0.0/8").Overlaps) {
		t.Error(all, err)
	}
	for _, p := range all {
		if p.Bits() == 0 || !p.Addr().Is4() {
			t.Error(p)
		}
	}
}
