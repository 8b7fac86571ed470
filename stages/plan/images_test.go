package plan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/integration/heap"
	"gitlab-sysbox-executor/stages/contract"
)

func rules(change func(*config.Job), variables map[string]string) imageRules {
	cfg := config.Default()
	if change != nil {
		change(&cfg.Job)
	}
	return imageRules{&contract.Call{Variables: variables, Job: &contract.Job{}}, cfg}
}

func named(name string) contract.Image { return contract.Image{Name: name} }

func withOptions(platform, user string) contract.Image {
	i := named("debian")
	i.Options.Docker.Platform, i.Options.Docker.User = platform, contract.UserID(user)
	return i
}

// wantError wants an error of the job's, in one line of bounded length.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && err == nil:
		t.Errorf("no error, want %q", want)
	case err != nil && (!strings.Contains(err.Error(), want) || fault.ClassOf(err) != fault.Job):
		t.Errorf("got %v\nwant %s", err, want)
	case err != nil && (strings.ContainsAny(err.Error(), "\n\r\x00\x1b") || len(err.Error()) > 1500):
		t.Errorf("not one line, or too long: %q", err)
	}
}

const someID = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

func notAllowed(name, patterns string) string {
	return fmt.Sprintf("The %q image is not present on list of allowed images: the administrator of this runner allows %s (job.allowed_images)", name, patterns)
}

func TestImageOfAJob(t *testing.T) {
	defaults := func(name string, patterns ...string) func(*config.Job) {
		return func(j *config.Job) { j.Image, j.AllowedImages = name, patterns }
	}
	for _, tt := range []struct {
		name, image string
		change      func(*config.Job)
		variables   map[string]string
		want, err   string
	}{
		{name: "its own", image: "debian:12", change: defaults("alpine"), want: "debian:12"},
		{name: "the default", change: defaults("alpine:3"), want: "alpine:3"},
		{name: "the default with a variable", change: defaults("alpine:$V"), variables: map[string]string{"V": "3"}, want: "alpine:3"},
		{name: "none", err: "the job names no image and there is no default: write image: in .gitlab-ci.yml, or job.image in the executor's configuration"},
		{name: "an older Runner's", image: "debian:$V", variables: map[string]string{"CI_JOB_IMAGE": "debian:12"}, want: "debian:12"},
		{name: "a variable of the same name changes nothing", image: "debian:12", variables: map[string]string{"CI_JOB_IMAGE": "evil"}, want: "debian:12"},
		{name: "allowed", image: "debian:12", change: defaults("", "debian:*"), want: "debian:12"},
		{name: "not allowed", image: "ruby:3", change: defaults("alpine", "debian:*", "!debian:9"),
			err: `The "ruby:3" image is not present on list of allowed images: the administrator of this runner allows debian:*, !debian:9 (job.allowed_images)`},
		{name: "the default is allowed", change: defaults("alpine", "debian:*"), want: "alpine"},
		{name: "the default by name is allowed", image: "alpine", change: defaults("alpine", "debian:*"), want: "alpine"},
		{name: "the default by another name", image: "alpine:latest", change: defaults("alpine", "debian:*"), err: notAllowed("alpine:latest", "debian:*")},
		{name: "the default with a variable, not allowed", change: defaults("registry.example/$V", "debian:*"), variables: map[string]string{"V": "evil"},
			err: notAllowed("registry.example/evil", "debian:*")},
		{name: "the default with a variable, allowed", change: defaults("registry.example/ci:$V", "registry.example/ci:*"), variables: map[string]string{"V": "3"},
			want: "registry.example/ci:3"},
		{name: "the default with a variable, by name", image: "registry.example/evil", change: defaults("registry.example/$V", "debian:*"),
			variables: map[string]string{"V": "evil"}, err: notAllowed("registry.example/evil", "debian:*")},
		{name: "the default with a variable, an ID", change: defaults("$V"), variables: map[string]string{"V": someID}, err: "job.allow_image_ids"},
		{name: "a digest under an allowed tag", image: "debian:12@" + someID, change: defaults("", "debian:12"), err: notAllowed("debian:12@"+someID, "debian:12")},
		{name: "another spelling of what is forbidden", image: "registry-1.docker.io/library/ruby:3", change: defaults("", "!ruby:*"),
			err: notAllowed("registry-1.docker.io/library/ruby:3", "!ruby:*")},
		{name: "an ID", image: someID, err: "image \"" + someID + "\" is given by its ID, which this runner does not allow (job.allow_image_ids): write the image's name"},
		{name: "an ID's number", image: someID[7:], err: "job.allow_image_ids"},
		{name: "an ID, allowed", image: someID, change: func(j *config.Job) { j.AllowImageIDs = true }, want: someID},
		{name: "an ID beside patterns", image: someID, change: func(j *config.Job) { j.AllowImageIDs, j.AllowedImages = true, []string{"**"} }, err: notAllowed(someID, "**")},
		{name: "an ID by a pattern", image: someID, change: func(j *config.Job) { j.AllowImageIDs, j.AllowedImages = true, []string{"sha256:*"} }, want: someID},
		{name: "an ID by a pattern alone", image: someID, change: defaults("", "sha256:*"), err: "job.allow_image_ids"},
		{name: "an ID as the default", change: defaults(someID, "debian:*"), want: someID},
		{name: "the beginning of an ID", image: someID[:20], err: "it begins like an image's ID"},
		{name: "line breaks", image: "debian\nFROM evil", err: `image "debian\nFROM evil": invalid reference format; write for example`},
		{name: "quotes", image: "a\"b'c`d", err: `image "a\"b'c` + "`d\""},
		{name: "a variable that is not there", image: "$(id)", err: `image "$(id)": invalid reference format`},
		{name: "a path", image: "../../etc/passwd", err: `image "../../etc/passwd"`},
		{name: "an escape", image: "a\x1b[31m\x00", err: `image "a\x1b[31m\x00"`},
		{name: "a flag", image: "--privileged", err: `image "--privileged"`},
		{name: "writing from right to left", image: "debian\u202e", err: `image "debian\u202e"`},
		{name: "100 kB", image: strings.Repeat("a", 100_000), err: `aaa"... (100000 bytes): it is too long`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rules(tt.change, tt.variables).forJob(named(tt.image))
			wantError(t, err, tt.err)
			if err == nil && got.Reference != tt.want {
				t.Errorf("got %q", got.Reference)
			}
		})
	}
}

func TestImageOfAService(t *testing.T) {
	r := rules(func(j *config.Job) {
		j.Image, j.AllowedImages, j.AllowedServices = "alpine", []string{"ruby"}, []string{"postgres:*"}
	}, nil)
	_, err := r.forService(named("postgres:16"))
	wantError(t, err, "")
	for _, name := range []string{"ruby", "alpine"} {
		_, err = r.forService(named(name))
		wantError(t, err, fmt.Sprintf(`The %q image is not present on list of allowed services: the administrator of this runner allows postgres:* (job.allowed_services)`, name))
	}
	_, err = r.forService(named("postgres:16@" + someID))
	wantError(t, err, "is not present on list of allowed services")
	_, err = rules(nil, nil).forService(named(someID))
	wantError(t, err, "job.allow_image_ids")
	_, err = rules(func(j *config.Job) { j.AllowImageIDs = true }, nil).forService(named(someID))
	wantError(t, err, "")
	_, err = r.forService(named("a\nb"))
	wantError(t, err, `image "a\nb"`)
	_, err = r.forService(named(""))
	wantError(t, err, `image ""`)
}

func TestPullPolicies(t *testing.T) {
	for _, tt := range []struct {
		job, configured, allowed string // with blanks between them
		want, err                string
	}{
		{"", "always", "", "always", ""},
		{"", "if-not-present never", "", "if-not-present never", ""},
		{"always", "always", "", "always", ""},
		{"if-not-present", "always", "", "", "invalid pull policy for image \"debian\": pull_policy ([if-not-present]) defined in GitLab pipeline config is not one of the allowed_pull_policies ([always])"},
		{"never if-not-present", "always", "if-not-present never always", "never if-not-present", ""},
		{"never if-not-present", "always", "if-not-present", "if-not-present", ""},
		{"never never", "always", "always if-not-present", "", "pull_policy ([never]) defined in GitLab pipeline config is not one of the allowed_pull_policies ([always if-not-present])"},
		{"", "always never", "never", "never", ""},
		{"always always always", "always", "", "always", ""},
		{"sometimes", "always", "", "", `image "debian": pull_policy "sometimes" is none of always, if-not-present, never`},
		{"always " + strings.Repeat("x", 100_000), "always", "", "", "xxx\"... (100000 bytes) is none of"},
	} {
		i := named("debian")
		i.PullPolicies = strings.Fields(tt.job)
		r := rules(func(j *config.Job) {
			j.PullPolicy, j.AllowedPullPolicies = strings.Fields(tt.configured), strings.Fields(tt.allowed)
		}, nil)
		got, err := r.forJob(i)
		wantError(t, err, tt.err)
		if text := strings.Trim(fmt.Sprint(got.Policies), "[]"); text != tt.want {
			t.Errorf("%.40s of %s within %s: %s, want %s", tt.job, tt.configured, tt.allowed, text, tt.want)
		}
		if !slices.Equal(i.PullPolicies, strings.Fields(tt.job)) {
			t.Error("the payload was changed")
		}
	}
}

func TestPlatform(t *testing.T) {
	for platform, want := range map[string]string{
		"": "", "arm64": "linux/arm64", "linux/arm64": "linux/arm64", "linux/arm/v7": "linux/arm/v7", "Linux/AMD64": "linux/amd64", "linux": "linux/" + runtime.GOARCH, "$P": "linux/riscv64",
		"linux/arm64/v8": "linux/arm64/v8", "linux/aarch64": "linux/arm64", "x86_64": "linux/amd64",
	} {
		got, err := rules(nil, map[string]string{"P": "riscv64"}).forJob(withOptions(platform, ""))
		if err != nil || got.Platform != want {
			t.Errorf("%q: %q, %v", platform, got.Platform, err)
		}
	}
	for _, platform := range []string{"linux/", "/arm64", "a/b/c/d", "linux/arm64\n", "linux/../x", "a b", "arm65", "*", strings.Repeat("x", 100_000)} {
		_, err := rules(nil, nil).forJob(withOptions(platform, ""))
		wantError(t, err, `image "debian": platform "`)
	}
}

func TestUser(t *testing.T) {
	for _, tt := range []struct {
		job, configured string
		allowed         []string
		want, err       string
	}{
		{job: "", want: ""},
		{job: "1000:1000", want: "1000:1000"},
		{job: "$U", want: "www-data"},
		{job: "1000", configured: "2000", want: "2000"},
		{job: "1000", allowed: []string{"1000"}, want: "1000"},
		{job: "", allowed: []string{"1000"}, want: ""},
		{job: "root", allowed: []string{"1000", "www-data"}, err: `user "root" is not an allowed user: [1000 www-data] (job.allowed_users)`},
		{job: "0", allowed: []string{"1000"}, err: `user "0" is not an allowed user`},
		{job: "root", configured: "1000", allowed: []string{"1000"}, want: "1000"},
		{job: "a\nb", err: `user "a\nb" is not valid`},
		{job: "a\x00", err: `user "a\x00" is not valid`},
		{job: strings.Repeat("x", 100_000), err: `x"... (100000 bytes) is not valid`},
		{job: strings.Repeat("$U", 50_000), err: ` bytes) is not valid`},
	} {
		r := rules(func(j *config.Job) { j.User, j.AllowedUsers = tt.configured, tt.allowed }, map[string]string{"U": "www-data"})
		got, err := r.jobUser(withOptions("", tt.job))
		wantError(t, err, tt.err)
		if got != tt.want {
			t.Errorf("%.40q: %q", tt.job, got)
		}
	}
}

// A user that a service names is held against the same lists.
func TestHostileUserOfAService(t *testing.T) {
	for _, tt := range []struct {
		service, configured string
		allowed             []string
		want, err           string
	}{
		{service: "", want: ""},
		{service: "1000", want: "1000"},
		{service: "", configured: "2000", want: ""}, // its image's own: a database has its own user
		{service: "root", configured: "2000", want: "2000"},
		{service: "0", allowed: []string{"1000"}, err: `user "0" is not an allowed user: [1000] (job.allowed_users)`},
		{service: "$U", allowed: []string{"1000"}, err: `user "root" is not an allowed user`},
		{service: "1000", allowed: []string{"1000"}, want: "1000"},
	} {
		r := rules(func(j *config.Job) { j.User, j.AllowedUsers = tt.configured, tt.allowed }, map[string]string{"U": "root"})
		got, err := r.serviceUser(withOptions("", tt.service))
		wantError(t, err, tt.err)
		if got != tt.want {
			t.Errorf("%q with %q and %q: %q", tt.service, tt.configured, tt.allowed, got)
		}
	}
}

func TestCredentialsOfAJob(t *testing.T) {
	const secret = "s3cret"
	j, err := contract.ParseJob([]byte(`{"id": 1, "credentials": [
		{"type": "registry", "url": "registry.example", "username": "u", "password": "s3cret"},
		{"type": "other", "url": "x", "username": "u", "password": "s3cret"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", "/home/of/the/runner")
	r := rules(nil, map[string]string{"DOCKER_AUTH_CONFIG": `{"auths": "s3cret"}`})
	r.call.Job = j
	got, err := r.forJob(named("debian"))
	if err != nil {
		t.Fatal(err)
	}
	c := got.Credentials
	if len(c.Payload) != 1 || c.Payload[0] != (image.Login{Registry: "registry.example", Username: "u", Password: secret}) ||
		c.Home != "/home/of/the/runner" || c.AuthConfig != `{"auths": "s3cret"}` {
		t.Error("something is missing or too much")
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v %#v", got, got, got), fmt.Sprintf("%v %+v %#v", *j, *j, *j)} {
		if strings.Contains(shown, secret) {
			t.Errorf("the secret is shown: %s", shown)
		}
	}
}

// platformForm is that of every platform that the engine is asked for.
var platformForm = regexp.MustCompile(`^[a-z0-9_-]+/[a-z0-9_-]+(/[a-z0-9_-]+)?$`)

// Whatever a payload says of images, a request has checked values only, and a
// refusal is one line of bounded length.
func FuzzImages(f *testing.F) {
	f.Add("debian:12", "arm64", "1000", "if-not-present", "registry.example", `{"auths": {}}`)
	f.Add("a\nb", "linux/$P", "$U", "never", "https://index.docker.io/v1/", "{")
	f.Add("../x", "a/b/c/d", "root\x00", "sometimes", "", "")
	f.Fuzz(func(t *testing.T, name, platform, user, policy, registry, auth string) {
		defer heap.Bounded(t)()
		i := withOptions(platform, user)
		i.Name, i.PullPolicies = name, []string{policy}
		r := rules(func(j *config.Job) { j.AllowedPullPolicies = []string{"always", "never"} },
			map[string]string{"P": platform, "U": user, "CI_JOB_IMAGE": name, "DOCKER_AUTH_CONFIG": auth})
		r.call.Job.Credentials = []contract.Credentials{{Type: "registry", URL: registry, Username: user, Password: name}}
		for _, build := range []func(contract.Image) (image.Request, error){r.forJob, r.forService} {
			req, err := build(i)
			if err != nil {
				wantError(t, err, " ")
				continue
			}
			if image.Check(req.Reference) != nil || req.Platform != "" && !platformForm.MatchString(req.Platform) || len(req.Policies) != 1 {
				t.Errorf("%+v", req)
			}
		}
		if name, err := r.jobUser(i); err != nil {
			wantError(t, err, " ")
		} else if strings.ContainsAny(name, "\n\x00 ") {
			t.Errorf("user %q", name)
		}
	})
}
