package plan

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"unicode"

	"github.com/containerd/platforms"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/stages/contract"
)

// imageRules turn the images of a job into requests, within the administrator's limits.
// Their errors are the job's fault. The names come from the job's author, so errors show
// them cut.
type imageRules struct {
	call *contract.Call
	cfg  *config.Config
}

// forJob returns the request for the job's own image, or for the default. The default is
// always allowed as the administrator wrote it; expanded with the job's variables it is the
// job's choice.
func (r imageRules) forJob(i contract.Image) (image.Request, error) {
	if strings.Contains(i.Name, "$") && r.call.Variables["CI_JOB_IMAGE"] != "" {
		i.Name = r.call.Variables["CI_JOB_IMAGE"] // older Runners do not expand the payload
	}
	if i.Name == "" {
		i.Name = r.expand(r.cfg.Job.Image)
	}
	if i.Name == "" {
		return image.Request{}, fault.Jobf("the job names no image and there is no default: write image: in .gitlab-ci.yml, or job.image in the executor's configuration")
	}
	req, err := r.request(i)
	if err == nil && i.Name != r.cfg.Job.Image {
		err = r.allowed(i.Name, "images", r.cfg.Job.AllowedImages)
	}
	return req, err
}

// forService returns the request for the image of a service.
func (r imageRules) forService(i contract.Image) (image.Request, error) {
	req, err := r.request(i)
	if err == nil {
		err = r.allowed(i.Name, "services", r.cfg.Job.AllowedServices)
	}
	return req, err
}

// forHelper returns the request for the administrator's helper image, to which no limit of
// the job applies. Its error is the system's fault.
func (r imageRules) forHelper(name string) (image.Request, error) {
	if err := image.Check(name); err != nil {
		return image.Request{}, fmt.Errorf("helper.image %s: %w", fault.Quote(name), err)
	}
	req := image.Request{Reference: name, Credentials: r.credentials()}
	for _, p := range r.cfg.Helper.PullPolicy {
		req.Policies = append(req.Policies, image.Policy(p))
	}
	return req, nil
}

// allowed checks an image that the job's author chose against the administrator's rules. IDs
// need a rule, because every job log shows image IDs: with an ID a job could use an image
// without access to its registry.
func (r imageRules) allowed(name, kind string, patterns []string) error {
	if image.IsID(name) && !r.cfg.Job.AllowImageIDs {
		return fault.Jobf("image %q is given by its ID, which this runner does not allow (job.allow_image_ids): write the image's name", name)
	}
	if image.Allowed(patterns, name) {
		return nil
	}
	hint := ""
	if strings.Contains(name, "@") {
		hint = `; an image with a digest needs a pattern with one, such as "ruby@sha256:*", or with ** at its end`
	}
	return fault.Jobf("The %q image is not present on list of allowed %s: the administrator of this runner allows %s (job.allowed_%s)%s",
		name, kind, strings.Join(patterns, ", "), kind, hint)
}

func (r imageRules) request(i contract.Image) (image.Request, error) {
	if err := image.Check(i.Name); err != nil {
		return image.Request{}, fault.Jobf(`image %s: %w; write for example "debian:12" or "registry.example/group/image:tag"`, fault.Quote(i.Name), err)
	}
	platform, err := r.platform(i)
	if err != nil {
		return image.Request{}, err
	}
	policies, err := r.policies(i)
	if err != nil {
		return image.Request{}, err
	}
	return image.Request{Reference: i.Name, Platform: platform, Policies: policies, Credentials: r.credentials()}, nil
}

// platform returns the platform in the engine's form: a bare architecture means Linux.
func (r imageRules) platform(i contract.Image) (string, error) {
	text := r.expand(i.Options.Docker.Platform)
	if text == "" {
		return "", nil
	}
	p, err := platforms.Parse(strings.ToLower(text))
	if err != nil || len(text) > 100 {
		return "", fault.Jobf(`image %s: platform %s is not valid; write for example "linux/arm64"`, fault.Quote(i.Name), fault.Quote(text))
	}
	return platforms.Format(p), nil
}

// policies returns the job's pull policies, or the configured ones, if they are allowed
// (gitlab-runner, helpers/pull_policies).
func (r imageRules) policies(i contract.Image) ([]image.Policy, error) {
	wanted, source := i.PullPolicies, "GitLab pipeline config"
	if len(wanted) == 0 {
		wanted, source = r.cfg.Job.PullPolicy, "Runner config"
	}
	allowed := r.cfg.Job.AllowedPullPolicies
	if len(allowed) == 0 {
		allowed = r.cfg.Job.PullPolicy
	}
	var named []string // without duplicates
	var effective []image.Policy
	for _, name := range wanted {
		p := image.Policy(name)
		if p != image.Always && p != image.IfNotPresent && p != image.Never {
			return nil, fault.Jobf("image %s: pull_policy %s is none of always, if-not-present, never", fault.Quote(i.Name), fault.Quote(name))
		}
		if slices.Contains(named, name) {
			continue
		}
		named = append(named, name)
		if slices.Contains(allowed, name) {
			effective = append(effective, p)
		}
	}
	if len(effective) == 0 {
		return nil, fault.Jobf("invalid pull policy for image %s: pull_policy (%s) defined in %s is not one of the allowed_pull_policies (%s)",
			fault.Quote(i.Name), named, source, allowed)
	}
	return effective, nil
}

// jobUser returns the configured user, or the one that the job names for its image.
func (r imageRules) jobUser(i contract.Image) (string, error) {
	if r.cfg.Job.User != "" {
		return r.cfg.Job.User, nil
	}
	return r.allowedUser(i)
}

// serviceUser returns the user that the job names for a service's image, within the same
// rules. Without one it is the image's own, which job.user does not replace: a database, for
// example, runs as its own user.
func (r imageRules) serviceUser(i contract.Image) (string, error) {
	if i.Options.Docker.User == "" {
		return "", nil
	}
	return r.jobUser(i)
}

func (r imageRules) allowedUser(i contract.Image) (string, error) {
	name, err := r.user(i)
	if err != nil {
		return "", err
	}
	if list := r.cfg.Job.AllowedUsers; name != "" && len(list) > 0 && !slices.Contains(list, name) {
		return "", fault.Jobf("user %q is not an allowed user: %s (job.allowed_users)", name, list)
	}
	return name, nil
}

// user returns the user that the job names; only its own container can look it up.
func (r imageRules) user(i contract.Image) (string, error) {
	name := r.expand(string(i.Options.Docker.User))
	odd := func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }
	if len(name) > 256 || strings.ContainsFunc(name, odd) {
		return "", fault.Jobf(`image %s: user %s is not valid; write for example "1000" or "www-data:www-data"`, fault.Quote(i.Name), fault.Quote(name))
	}
	return name, nil
}

// credentials returns all possible sources of credentials for the job.
func (r imageRules) credentials() image.Sources {
	s := image.Sources{AuthConfig: r.call.Variables["DOCKER_AUTH_CONFIG"], AuthConfigHelpers: r.cfg.Job.CredentialHelpers, Home: homeDir()}
	for _, c := range r.call.Job.Credentials {
		if c.Type == "registry" {
			s.Payload = append(s.Payload, image.Login{Registry: c.URL, Username: c.Username, Password: c.Password})
		}
	}
	return s
}

// homeDir returns the home folder of the Runner's user, who runs this process. A systemd
// service may have no HOME.
func homeDir() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// longestText is far longer than any name, user or platform.
const longestText = 1000

// expand replaces the job's variables where the Runner leaves that to the executor. It does
// not expand a text that is too long: a thousand times "$A" can become gigabytes.
func (r imageRules) expand(text string) string {
	if len(text) > longestText {
		return text
	}
	return os.Expand(text, func(name string) string { return r.call.Variables[name] })
}
