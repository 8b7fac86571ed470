package kubernetes

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/job"
)

// addNetwork adds name servers, hosts and settings of the kernel to a pod. As on Docker, the name servers of the
// configuration replace those of the cluster.
func (b *Backend) addNetwork(p job.Plan, s *corev1.PodSpec) {
	if n := p.Network; len(n.DNS)+len(n.DNSSearch) > 0 {
		s.DNSConfig = &corev1.PodDNSConfig{Nameservers: n.DNS, Searches: n.DNSSearch}
		if len(n.DNS) > 0 {
			s.DNSPolicy = corev1.DNSNone
		}
	}
	for _, text := range p.Network.ExtraHosts {
		name, address, _ := strings.Cut(text, ":")
		s.HostAliases = append(s.HostAliases, corev1.HostAlias{IP: strings.Trim(address, "[]"), Hostnames: []string{name}})
	}
	for name, value := range config.Pairs(p.Hardening.Sysctls) {
		if s.SecurityContext == nil {
			s.SecurityContext = new(corev1.PodSecurityContext)
		}
		s.SecurityContext.Sysctls = append(s.SecurityContext.Sysctls, corev1.Sysctl{Name: name, Value: value})
	}
}
