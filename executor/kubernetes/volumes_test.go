package kubernetes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/config"
)

// The configured volumes are in the job container, the services and the helper, and in no container of the executor's own.
func TestConfiguredVolumes(t *testing.T) {
	b, _ := inMemory(t)
	b.Config.ServiceAccount = "ci"
	b.Config.Volumes = []string{"secret:ca:/etc/ca", "configmap:settings:/etc/settings", "claim:models:/models", "claim:models:/fixed:ro", "token:https://vault:8200:/run/secrets/vault"}
	p := withServices()
	p.Helper = withHelper().Helper
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Spec.ServiceAccountName != "ci" || *pod.Spec.AutomountServiceAccountToken {
		t.Errorf("%+v", pod.Spec)
	}
	sources := map[string]corev1.VolumeSource{}
	for _, v := range pod.Spec.Volumes {
		sources[v.Name] = v.VolumeSource
	}
	for path, ok := range map[string]func(corev1.VolumeSource) bool{
		config.TokenPath: func(s corev1.VolumeSource) bool { return len(s.Projected.Sources) == 3 },
		"/etc/ca":        func(s corev1.VolumeSource) bool { return s.Secret.SecretName == "ca" },
		"/etc/settings":  func(s corev1.VolumeSource) bool { return s.ConfigMap.Name == "settings" },
		"/models":        func(s corev1.VolumeSource) bool { return s.PersistentVolumeClaim.ClaimName == "models" },
		"/fixed":         func(s corev1.VolumeSource) bool { return s.PersistentVolumeClaim.ReadOnly },
		"/run/secrets/vault": func(s corev1.VolumeSource) bool {
			return s.Projected.Sources[0].ServiceAccountToken.Audience == "https://vault:8200"
		},
	} {
		for _, c := range pod.Spec.Containers {
			found := false
			for _, m := range c.VolumeMounts {
				if m.MountPath == path {
					if found = true; !ok(sources[m.Name]) || m.ReadOnly == (path == "/models") {
						t.Errorf("%s in %s: %+v", path, c.Name, m)
					}
				}
			}
			if want := c.Name != installContainer && c.Name != imageContainer; found != want {
				t.Errorf("%s in %s: %t", path, c.Name, found)
			}
		}
	}
	b.Config.MountToken = false
	if volumes, _ := b.configured(); len(volumes) != 5 {
		t.Errorf("%+v", volumes)
	}
}

func TestNetworkOfAPod(t *testing.T) {
	b, _ := inMemory(t)
	p := aPlan()
	p.Network = config.Network{DNSSearch: []string{"example.com"}, ExtraHosts: []string{"a:192.0.2.1", "b:[2001:db8::1]"}}
	p.Hardening.Sysctls = []string{"net.core.somaxconn=1024"}
	pod, err := b.pod(p, known{})
	if err != nil {
		t.Fatal(err)
	}
	s := pod.Spec
	if s.DNSPolicy != "" || s.DNSConfig.Searches[0] != "example.com" || s.HostAliases[0].IP != "192.0.2.1" || s.HostAliases[1].IP != "2001:db8::1" || s.HostAliases[1].Hostnames[0] != "b" ||
		s.SecurityContext.Sysctls[0] != (corev1.Sysctl{Name: "net.core.somaxconn", Value: "1024"}) {
		t.Errorf("%+v", s)
	}
	p.Network.DNS = []string{"192.0.2.53"}
	if pod, err = b.pod(p, known{}); err != nil || pod.Spec.DNSPolicy != corev1.DNSNone || pod.Spec.DNSConfig.Nameservers[0] != "192.0.2.53" {
		t.Errorf("%+v, %v", pod.Spec, err)
	}
}
