package config

import "testing"

func TestNetwork(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string
	}{
		{"all", `
mode = "bridge"
dns = ["192.0.2.53", "2001:db8::53"]
dns_search = ["example.com", "."]
extra_hosts = ["a.example.com:192.0.2.1", "b:2001:db8::1", "c:host-gateway"]
mtu = 1400
ipv6 = true`, nil},
		{"the host's network", `mode = "host"`, []string{
			`c.toml:2: network.mode: "host" is not possible: Sysbox refuses a container in the host's network, where a job could reach everything that the host can; write "bridge"`}},
		{"another network", `mode = "container:x"`, []string{
			`c.toml:2: network.mode: "container:x" is not possible: each job has a bridge of its own, on which only its services are; write "bridge"`}},
		{"addresses and names", `
dns = ["dns.example.com"]
dns_search = ["a b"]
extra_hosts = ["x", "x:y", "../x:192.0.2.1"]`, []string{
			`c.toml:3: network.dns: "dns.example.com" is not an address; write for example "192.0.2.53"`,
			`c.toml:4: network.dns_search: "a b" is not a domain; write for example "example.com"`,
			`c.toml:5: network.extra_hosts: "../x:192.0.2.1" is not name:address; write for example "registry.example.com:192.0.2.10", or host-gateway for the address`,
			`c.toml:5: network.extra_hosts: "x" is not name:address; write for example "registry.example.com:192.0.2.10", or host-gateway for the address`,
			`c.toml:5: network.extra_hosts: "x:y" is not name:address; write for example "registry.example.com:192.0.2.10", or host-gateway for the address`}},
		{"a small packet", "mtu = 67", []string{
			"c.toml:2: network.mtu: 67 is not from 68 to 65535; write for example 1400, or 0 for the engine's own choice"}},
		{"too small a packet for IPv6", "mtu = 1279\nipv6 = true", []string{
			"c.toml:2: network.mtu: 1279 is not from 1280 to 65535; write for example 1400, or 0 for the engine's own choice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, "[network]\n"+tt.data, tt.want...) })
	}
}
