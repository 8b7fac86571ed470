package imagepull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
)

// Messages of engines, verbatim.
var (
	errDown   = errors.New(`Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused`)
	errDenied = errors.New(`Get "http://127.0.0.1:5000/v2/": unauthorized: authentication required`)
	errCut    = errors.New("unexpected EOF")
	errAbsent = fmt.Errorf("manifest for x:y not found: manifest unknown: %w", cerrdefs.ErrNotFound)
	errFull   = errors.New("failed to register layer: write /x: no space left on device")
)

// store is an engine's image store with given results of pulls. As in an engine, an image is
// also found by the beginning of its ID.
type store struct {
	mu      sync.Mutex
	here    map[string]engine.Image
	pulls   []error // result of each pull; nil means success, and so does the end of the list
	pulled  []string
	shown   []image.Credentials
	lookups []string
	took    time.Duration // per pull
}

func (s *store) InspectImage(_ context.Context, ref, platform string) (engine.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups = append(s.lookups, ref)
	if img, ok := s.here[familiar(ref)]; ok {
		return img, nil
	}
	for _, img := range s.here {
		if strings.Trim(ref, "0123456789abcdef") == "" && strings.HasPrefix(img.ID, "sha256:"+ref) || strings.HasPrefix(ref, "sha256:") && strings.HasPrefix(img.ID, ref) {
			return img, nil
		}
	}
	return engine.Image{}, fmt.Errorf("No such image: %s: %w", ref, cerrdefs.ErrNotFound)
}

// familiar is the short name of an image in the store.
func familiar(ref string) string {
	return strings.TrimSuffix(strings.TrimPrefix(ref, "docker.io/library/"), ":latest")
}

func (s *store) Pull(ctx context.Context, ref, platform string, c image.Credentials, _ func(engine.Progress)) error {
	s.mu.Lock()
	ref = familiar(ref)
	s.pulled, s.shown = append(s.pulled, ref), append(s.shown, c)
	var err error
	if len(s.pulls) > 0 {
		err, s.pulls = s.pulls[0], s.pulls[1:]
	}
	s.mu.Unlock()
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.here[ref] = engine.Image{ID: "sha256:new", Platform: platform, Digests: []string{"elsewhere@sha256:1", strings.Split(ref, ":")[0] + "@sha256:2"}}
	}
	return err
}

type plainLines struct{}

func (plainLines) Format(e *logrus.Entry) ([]byte, error) {
	prefix := ""
	if e.Level == logrus.WarnLevel {
		prefix = "WARNING: "
	}
	return []byte(prefix + e.Message + "\n"), nil
}

func logTo(b *bytes.Buffer) logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(b)
	l.SetFormatter(plainLines{})
	return l
}

const (
	retry1 = `WARNING: Failed to pull image "x:1" (attempt #1), retrying: `
	retry2 = `WARNING: Failed to pull image "x:1" (attempt #2), retrying: `
	using  = `Using docker image sha256:new for x:1 with digest x@sha256:2 ...`
	cached = `Using docker image sha256:old for x:1 ...`
	asking = `Pulling docker image x:1 ...`
)

func TestGet(t *testing.T) {
	const id = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	old := map[string]engine.Image{"x:1": {ID: "sha256:old", Platform: "linux/amd64"}, id: {ID: id}}
	down3 := []error{errDown, errCut, errDown}
	effective := func(p ...image.Policy) string {
		return fmt.Sprintf("Using effective pull policy of %s for container x:1", p)
	}
	for _, tt := range []struct {
		name    string
		request image.Request // defaults to x:1 and the policy always
		here    map[string]engine.Image
		pulls   []error
		log     []string
		err     string
		class   fault.Class
		pulled  int
	}{
		{name: "always", here: old, pulled: 1, log: []string{effective(image.Always), asking, using}},
		{name: "platform", request: image.Request{Platform: "linux/arm64"}, pulled: 1,
			log: []string{effective(image.Always), "Pulling docker image x:1 for platform linux/arm64 ...", using}},
		{name: "if-not-present and here", request: image.Request{Policies: []image.Policy{image.IfNotPresent}}, here: old,
			log: []string{effective(image.IfNotPresent), `Using locally found image version due to "if-not-present" pull policy`, cached}},
		{name: "if-not-present and not here", request: image.Request{Policies: []image.Policy{image.IfNotPresent}}, pulled: 1,
			log: []string{effective(image.IfNotPresent), asking, using}},
		{name: "if-not-present for another platform", request: image.Request{Platform: "linux/arm64", Policies: []image.Policy{image.IfNotPresent}}, here: old, pulled: 1,
			log: []string{effective(image.IfNotPresent), "Pulling docker image x:1 for platform linux/arm64 ...", using}},
		{name: "never and here", request: image.Request{Policies: []image.Policy{image.Never}}, here: old, log: []string{effective(image.Never), cached}},
		{name: "never and not here", request: image.Request{Policies: []image.Policy{image.Never}}, class: fault.Job, log: []string{effective(image.Never)},
			err: `failed to pull image "x:1" with specified policies [never]: image "x:1" is not on this machine and the pull policy is "never"`},
		{name: "never and for another platform", request: image.Request{Platform: "linux/arm64", Policies: []image.Policy{image.Never}}, here: old, class: fault.Job,
			log: []string{effective(image.Never)},
			err: `failed to pull image "x:1" with specified policies [never]: image "x:1" is on this machine for the platform linux/amd64, not for linux/arm64, and the pull policy is "never"`},
		{name: "by ID", request: image.Request{Reference: id}, here: old},
		{name: "by ID and not here", request: image.Request{Reference: strings.Replace(id, "0", "f", 1)}, class: fault.Job,
			err: `image "sha256:f123456789012345678901234567890123456789012345678901234567890123" is not on this machine, and an image given by its ID cannot be pulled`},
		{name: "down, then up", pulls: down3[:2], pulled: 3,
			log: []string{effective(image.Always), asking, retry1 + errDown.Error(), retry2 + errCut.Error(), using}},
		{name: "down", pulls: down3, pulled: 3, class: fault.System,
			log: []string{effective(image.Always), asking, retry1 + errDown.Error(), retry2 + errCut.Error()},
			err: `failed to pull image "x:1" with specified policies [always]: ` + errDown.Error()},
		{name: "wrong password", pulls: []error{errDenied}, pulled: 1, class: fault.Job, log: []string{effective(image.Always), asking},
			err: `failed to pull image "x:1" with specified policies [always]: ` + errDenied.Error() + ` (no credentials were found for it; DOCKER_AUTH_CONFIG can hold some)`},
		{name: "absent", pulls: []error{errAbsent}, pulled: 1, class: fault.Job, log: []string{effective(image.Always), asking},
			err: `failed to pull image "x:1" with specified policies [always]: ` + errAbsent.Error()},
		{name: "disk full", pulls: []error{errFull}, pulled: 1, class: fault.System, log: []string{effective(image.Always), asking},
			err: `failed to pull image "x:1" with specified policies [always]: ` + errFull.Error()},
		{name: "down, and the cached one", request: image.Request{Policies: []image.Policy{image.Always, image.IfNotPresent}}, here: old, pulls: down3, pulled: 3,
			log: []string{effective(image.Always, image.IfNotPresent), asking, retry1 + errDown.Error(), retry2 + errCut.Error(),
				`WARNING: Failed to pull image with policy "always": ` + errDown.Error(),
				`Attempt #2: Trying "if-not-present" pull policy`,
				`Using locally found image version due to "if-not-present" pull policy`, cached}},
		{name: "down, and never here: a retry may help", request: image.Request{Policies: []image.Policy{image.Always, image.Never}}, pulls: down3, pulled: 3, class: fault.System,
			log: []string{effective(image.Always, image.Never), asking, retry1 + errDown.Error(), retry2 + errCut.Error(),
				`WARNING: Failed to pull image with policy "always": ` + errDown.Error(), `Attempt #2: Trying "never" pull policy`},
			err: `failed to pull image "x:1" with specified policies [always never]: image "x:1" is not on this machine and the pull policy is "never"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{here: map[string]engine.Image{}, pulls: tt.pulls}
				for ref, img := range tt.here {
					s.here[ref] = img
				}
				r := tt.request
				if r.Reference == "" {
					r.Reference = "x:1"
				}
				if r.Policies == nil {
					r.Policies = []image.Policy{image.Always}
				}
				var log bytes.Buffer
				began := time.Now()
				_, err := Get(t.Context(), s, r, logTo(&log), nil)
				if text := fmt.Sprint(err); tt.err == "" && err != nil || tt.err != "" && text != tt.err {
					t.Errorf("error %s\nwant %s", text, tt.err)
				}
				if err != nil && fault.ClassOf(err) != tt.class {
					t.Errorf("class %v", fault.ClassOf(err))
				}
				if got, want := log.String(), strings.Join(append(tt.log, ""), "\n"); got != want {
					t.Errorf("got:\n%swant:\n%s", got, want)
				}
				if len(s.pulled) != tt.pulled {
					t.Errorf("pulled %d times, want %d", len(s.pulled), tt.pulled)
				}
				// The pauses are two and four seconds, each between half as long and half as long again.
				if took := time.Since(began); tt.pulled == 3 && (took < 3*time.Second || took > 9*time.Second) || tt.pulled < 3 && took > 0 {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// A name of hexadecimal digits must not select an image by the beginning of its ID, whatever the
// registry has.
func TestNamesAreNoIDs(t *testing.T) {
	const number = "cafe456789012345678901234567890123456789012345678901234567890123"
	private := engine.Image{ID: "sha256:" + number, Platform: "linux/amd64"}
	for _, name := range []string{"cafe", "c", number[:63], "cafe:latest"} {
		for _, policy := range []image.Policy{image.Never, image.IfNotPresent} {
			s := &store{here: map[string]engine.Image{"registry.example/private:1": private}, pulls: []error{errAbsent}}
			img, err := Get(t.Context(), s, image.Request{Reference: name, Policies: []image.Policy{policy}}, logTo(new(bytes.Buffer)), nil)
			if err == nil || fault.ClassOf(err) != fault.Job {
				t.Errorf("%s by %s: %v, %v", name, policy, img, err)
			}
		}
	}
	// The complete ID selects it.
	s := &store{here: map[string]engine.Image{"registry.example/private:1": private}}
	if img, err := Get(t.Context(), s, image.Request{Reference: number}, logTo(new(bytes.Buffer)), nil); err != nil || img.ID != private.ID {
		t.Errorf("%v, %v", img, err)
	}
}

func TestGetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s := &store{here: map[string]engine.Image{}, took: time.Hour}
		var log bytes.Buffer
		_, err := Get(ctx, s, image.Request{Reference: "x", Policies: []image.Policy{image.Always, image.IfNotPresent}}, logTo(&log), nil)
		if !errors.Is(err, context.DeadlineExceeded) || len(s.pulled) != 1 || strings.Contains(log.String(), "WARNING") {
			t.Errorf("%v after %d pulls:\n%s", err, len(s.pulled), log.String())
		}
	})
}

func TestAll(t *testing.T) {
	request := func(ref string) image.Request {
		return image.Request{Reference: ref, Policies: []image.Policy{image.Always}}
	}
	t.Run("at once, and each once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &store{here: map[string]engine.Image{}, took: time.Minute}
			began := time.Now()
			images, err := All(t.Context(), s, []image.Request{request("a"), request("b"), request("a")}, logTo(new(bytes.Buffer)), nil)
			if err != nil || len(images) != 3 || images[2].ID == "" || images[2].Digests[1] != "a@sha256:2" {
				t.Errorf("%v %v", images, err)
			}
			slices.Sort(s.pulled)
			if took := time.Since(began); took != time.Minute || !slices.Equal(s.pulled, []string{"a", "b"}) {
				t.Errorf("%s for %q", took, s.pulled)
			}
		})
	})
	t.Run("the first failure ends the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &store{here: map[string]engine.Image{}, took: time.Hour}
			began := time.Now()
			_, err := All(t.Context(), s, []image.Request{request("a"), {Reference: "b", Policies: []image.Policy{image.Never}}}, logTo(new(bytes.Buffer)), nil)
			if fault.ClassOf(err) != fault.Job || !strings.Contains(err.Error(), `"b"`) || time.Since(began) > time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		})
	})
}

func TestRunsOn(t *testing.T) {
	for _, tt := range []struct {
		has, want string
		ok        bool
	}{
		{"linux/amd64", "", true}, {"linux/amd64", "linux/amd64", true}, {"linux/amd64", "linux/arm64", false},
		{"linux/arm64/v8", "linux/arm64", true}, {"linux/arm64", "linux/arm64/v8", true}, {"linux/arm/v6", "linux/arm/v7", false},
		{"linux/arm64", "linux/arm", false}, {"linux/arm64", "linux", true},
	} {
		if got := runsOn(tt.has, tt.want); got != tt.ok {
			t.Errorf("%s for %s: %t", tt.has, tt.want, got)
		}
	}
}
