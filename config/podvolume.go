package config

import (
	"path"
	"strings"
)

// PodVolume is a parsed entry of Kubernetes.Volumes.
type PodVolume struct {
	Kind PodVolumeKind
	// Name is that of the object; for a token its audience.
	Name     string
	Target   string
	ReadOnly bool
}

// PodVolumeKind is the kind of the object behind a PodVolume.
type PodVolumeKind string

// The kinds.
const (
	SecretVolume    PodVolumeKind = "secret"
	ConfigMapVolume PodVolumeKind = "configmap"
	ClaimVolume     PodVolumeKind = "claim" // a PersistentVolumeClaim
	TokenVolume     PodVolumeKind = "token" // a token of the pod's service account, in the file "token"
)

// ParsePodVolume parses "kind:name:target" or, for a claim, "claim:name:target:ro". All others are read-only. The name of
// a token, its audience, may contain colons.
func ParsePodVolume(text string) (v PodVolume, ok bool) {
	kind, rest, _ := strings.Cut(text, ":")
	v = PodVolume{Kind: PodVolumeKind(kind), ReadOnly: true}
	if v.Kind == ClaimVolume {
		rest, v.ReadOnly = strings.CutSuffix(rest, ":ro")
	}
	n := strings.LastIndex(rest, ":")
	if n < 1 {
		return v, false
	}
	v.Name, v.Target = rest[:n], rest[n+1:]
	switch v.Kind {
	case SecretVolume, ConfigMapVolume, ClaimVolume:
		ok = isObject(v.Name)
	case TokenVolume:
		ok = !strings.ContainsFunc(v.Name, blank)
	}
	return v, ok && path.IsAbs(v.Target) && path.Clean(v.Target) == v.Target && v.Target != "/"
}

// checkPodVolumes checks Kubernetes.Volumes.
func (c *Config) checkPodVolumes(k *checker) {
	const key = "kubernetes.volumes"
	seen := map[string]string{}
	for _, text := range c.Kubernetes.Volumes {
		v, ok := ParsePodVolume(text)
		if !ok {
			k.bad(key, `%q is not kind:name:path with the kind secret, configmap, claim or token; write for example "secret:company-ca:/etc/company-ca", "claim:models:/models:ro" or "token:vault:/run/secrets/vault"`, text)
			continue
		}
		target := underRun(v.Target)
		if place, reason := c.taken(target); place != "" {
			k.bad(key, "%q: the path overlaps %s, which %s; choose another", text, place, reason)
		}
		if first, twice := seen[target]; twice {
			k.bad(key, "%q: the path is the same as that of %q; keep one", text, first)
		}
		if Overlap(target, underRun(TokenPath)) && c.Kubernetes.ServiceAccount != "" && c.Kubernetes.MountToken {
			k.bad(key, "%q: the token of kubernetes.service_account is at that path; choose another, or write kubernetes.mount_token = false", text)
		}
		seen[target] = text
	}
}

// underRun is a path in an image where /var/run is a link to /run.
func underRun(target string) string {
	if rest, ok := strings.CutPrefix(target, "/var/run/"); ok {
		return "/run/" + rest
	}
	return target
}

// TokenPath is where a pod has the token of its service account.
const TokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// isObject reports whether name is the name of an object of Kubernetes.
func isObject(name string) bool { return len(name) <= 253 && objectName().MatchString(name) }
