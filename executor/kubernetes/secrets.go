package kubernetes

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/jobcontainer"
	"gitlab-sysbox-executor/lazyregexp"
)

// secret describes a secret that the pod owns.
func (b *Backend) secret(i job.Identity, name string, pod *corev1.Pod) *corev1.Secret {
	yes := true
	s := &corev1.Secret{ObjectMeta: b.meta(i, name, job.RoleBuild), Immutable: &yes}
	s.OwnerReferences = ownedBy(pod)
	return s
}

// ownedBy makes the cluster remove an object with the pod.
func ownedBy(pod *corev1.Pod) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}
}

// secretKey matches the keys that a secret can have. Every variable of GitLab is one.
var secretKey = lazyregexp.New(`^[-._a-zA-Z0-9]{1,253}$`)

// environments are the secrets with the environments of the job container and the services.
func (b *Backend) environments(p job.Plan, pod *corev1.Pod) []*corev1.Secret {
	own := jobcontainer.Environment(p.Environment, p.Storage, p.User)
	all := []*corev1.Secret{b.environment(p, environmentSecret(p.Identity), own, pod)}
	for n := range p.Services {
		all = append(all, b.environment(p, serviceSecret(p.Identity, n), serviceEnvironment(p, n), pod))
	}
	return all
}

// environment is the secret with the environment of a container. Variables whose names a secret cannot have are
// left out; the Runner's scripts set the job's variables in any case.
func (b *Backend) environment(p job.Plan, name string, environment []string, pod *corev1.Pod) *corev1.Secret {
	s := b.secret(p.Identity, name, pod)
	s.Data = map[string][]byte{}
	for _, kv := range environment {
		name, value, _ := strings.Cut(kv, "=")
		if !secretKey().MatchString(name) || name == "." || name == ".." {
			b.Log.Debugf("The container's environment does not have the variable %s, whose name a secret cannot have.", fault.Quote(name))
			continue
		}
		s.Data[name] = []byte(value)
	}
	return s
}

// mostSecret is the size of the largest secret, in bytes.
const mostSecret = corev1.MaxSecretSize

// checkSize refuses an environment that no secret can have.
func checkSize(s *corev1.Secret) error {
	size := 0
	for name, value := range s.Data {
		size += len(name) + len(value)
	}
	if size > mostSecret {
		return fault.Jobf("the job's variables have %d bytes; a pod of Kubernetes can have %d: shorten them, or use variables of type file", size, mostSecret)
	}
	return nil
}

// login are the credentials for the images of one key of a Docker configuration.
type login struct {
	key string
	image.Found
}

// registry is the secret with the job's credentials for its images; nil if there are none.
func (b *Backend) registry(p job.Plan, found []login, pod *corev1.Pod) (*corev1.Secret, error) {
	if len(found) == 0 {
		return nil, nil
	}
	auths := map[string]any{}
	for _, l := range found {
		auths[l.key] = map[string]string{
			"username": l.Username, "password": l.Password,
			"auth": base64.StdEncoding.EncodeToString([]byte(l.Username + ":" + l.Password)),
		}
	}
	text, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return nil, err
	}
	s := b.secret(p.Identity, registrySecret(p.Identity), pod)
	s.Type, s.Data = corev1.SecretTypeDockerConfigJson, map[string][]byte{corev1.DockerConfigJsonKey: text}
	return s, nil
}

// keyOf is the key under which the kubelet looks for the credentials of an image: its repository, or the whole of Docker
// Hub (k8s.io/kubernetes, pkg/credentialprovider/keyring.go).
func keyOf(reference string) string {
	path := image.Path(reference)
	if host, _, _ := strings.Cut(path, "/"); host == "docker.io" {
		return "https://index.docker.io/v1/"
	}
	return path
}

// credentials are the job's own for its images. A kubelet knows no tokens.
func (b *Backend) credentials(ctx context.Context, p job.Plan) (all []login, err error) {
	requests := p.Images()
	if p.Helper.Possible() {
		requests = append(requests, p.Helper.Image)
	}
	for _, r := range requests {
		if slices.ContainsFunc(all, loginFor(r.Reference)) {
			continue
		}
		found, err := r.Credentials.Find(ctx, r.Reference, b.Log)
		switch {
		case err != nil:
			return nil, fmt.Errorf("image %s: %w", r.Reference, err)
		case found.Source != "" && found.Username+found.Password == "":
			b.Log.Warnf("Credentials from %s are a token, which a pod of Kubernetes cannot use: write a user name with a password, or use kubernetes.image_pull_secrets.", found.Source)
		case found.Source != "":
			all = append(all, login{keyOf(r.Reference), found})
		}
	}
	return all, nil
}
