package kubernetes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"gitlab-sysbox-executor/config"
)

// tokenVolume has the token of the pods' service account.
const tokenVolume = "token"

// tokenTime is how long a token is valid, in seconds. The kubelet renews it before its end.
const tokenTime = 3607

// configured are the volumes of the configuration, each with its mount in the job container, the services and the helper.
func (b *Backend) configured() (volumes []corev1.Volume, mounts []corev1.VolumeMount) {
	add := func(name string, source corev1.VolumeSource, v config.PodVolume) {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: source})
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: v.Target, ReadOnly: v.ReadOnly})
	}
	if b.Config.ServiceAccount != "" && b.Config.MountToken {
		add(tokenVolume, accountToken(), config.PodVolume{Target: config.TokenPath, ReadOnly: true})
	}
	for n, text := range b.Config.Volumes {
		v, _ := config.ParsePodVolume(text)
		add(fmt.Sprintf("volume-%d", n), sourceOf(v), v)
	}
	return volumes, mounts
}

func sourceOf(v config.PodVolume) (s corev1.VolumeSource) {
	switch v.Kind {
	case config.SecretVolume:
		s.Secret = &corev1.SecretVolumeSource{SecretName: v.Name}
	case config.ConfigMapVolume:
		s.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: v.Name}}
	case config.ClaimVolume:
		s.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: v.Name, ReadOnly: v.ReadOnly}
	case config.TokenVolume:
		s.Projected = projected(corev1.VolumeProjection{ServiceAccountToken: token(v.Name)})
	}
	return s
}

func projected(sources ...corev1.VolumeProjection) *corev1.ProjectedVolumeSource {
	return &corev1.ProjectedVolumeSource{Sources: sources}
}

func token(audience string) *corev1.ServiceAccountTokenProjection {
	seconds := int64(tokenTime)
	return &corev1.ServiceAccountTokenProjection{Audience: audience, ExpirationSeconds: &seconds, Path: "token"}
}

// accountToken is the volume that the API server adds to pods with an automatic token. It is part of the pod from the
// begin, so that a container that boots systemd has it at a second path, too.
func accountToken() (s corev1.VolumeSource) {
	const ca = "ca.crt"
	s.Projected = projected(
		corev1.VolumeProjection{ServiceAccountToken: token("")},
		corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: ca, Path: ca}},
		}},
		corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{
			Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
		}},
	)
	return s
}
