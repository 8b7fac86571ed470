package service

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/fault"
)

// The names are those of GitLab Runner 19.3 (helpers/container/services/services_test.go).
func TestDerived(t *testing.T) {
	for image, want := range map[string][]string{
		"service":            {"service"},
		"service:version":    {"service"},
		"namespace/service":  {"namespace__service", "namespace-service"},
		"domain.tld/service": {"domain.tld__service", "domain.tld-service"},
		"subdomain.domain.tld:8080/service:version":            {"subdomain.domain.tld__service", "subdomain.domain.tld-service"},
		"subdomain.domain.tld:8080/namespace/service":          {"subdomain.domain.tld__namespace__service", "subdomain.domain.tld-namespace-service"},
		"service@sha256:" + strings.Repeat("a", 64):            {"service"},
		"docker.io/library/redis:7":                            {"docker.io__library__redis", "docker.io-library-redis"},
		"localhost:5000/a/b@sha256:" + strings.Repeat("0", 64): {"localhost__a__b", "localhost-a-b"},
	} {
		got, err := Derived(image)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", image, got, err, want)
		}
	}
}

func TestHostileNames(t *testing.T) {
	for _, image := range []string{"", "a b", "a\nb", "../../x", "UPPER", "$(id)", "a'b", "ü", strings.Repeat("x/", 50_000) + "/"} {
		_, err := Derived(image)
		wantOneLine(t, image, err)
	}
	for _, text := range []string{"../x", "a/b", "\"", "it's", "ü", "a\x00b", "-x", strings.Repeat("x", 100_000), strings.Repeat("ab.", 90) + "c", "a..b", "a:b"} {
		_, err := Given(text)
		wantOneLine(t, text, err)
	}
	for _, value := range []string{"0", "65536", "x", "80\n90", strings.Repeat("9", 100_000)} {
		_, _, err := Ports([]string{PortVariable + "=" + value}, nil)
		wantOneLine(t, value, err)
	}
}

func wantOneLine(t *testing.T, input string, err error) {
	t.Helper()
	if err == nil || fault.ClassOf(err) != fault.Job || strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 500 {
		t.Errorf("%.40q: got %.600v", input, err)
	}
}

func TestGiven(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       nil,
		"db":                     {"db"},
		"db,postgres pg":         {"db", "postgres", "pg"},
		" db ,\tdb-2\n,, x_y.z ": {"db", "db-2", "x_y.z"},
	} {
		if got, err := Given(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	var n Names
	free, skipped := n.Take("a/b", 0, []string{"a__b", "a-b", "db", "db"})
	if !slices.Equal(free, []string{"a__b", "a-b", "db"}) || len(skipped) != 0 {
		t.Errorf("got %q, skipped %q", free, skipped)
	}
	free, skipped = n.Take("c", 1, []string{"c", "db", "build"})
	want := []string{
		`Skipping alias "db" for service "c" (services[1]): alias is already in use by another service.`,
		`Skipping alias "build" for service "c" (services[1]): alias is already in use by another service.`,
	}
	if !slices.Equal(free, []string{"c"}) || !slices.Equal(skipped, want) {
		t.Errorf("got %q, skipped %q", free, skipped)
	}
}

func TestPorts(t *testing.T) {
	for _, c := range []struct {
		name         string
		env, exposed []string
		want         []int
		asked        bool
	}{
		{"none", nil, nil, nil, false},
		{"exposed, lowest first", nil, []string{"8080/tcp", "53/udp", "443"}, []int{443, 8080}, false},
		{"the variable", []string{"A=b", "HEALTHCHECK_TCP_PORT=99"}, []string{"80/tcp"}, []int{99}, true},
		{"the variable in any case, the last one", []string{"HEALTHCHECK_TCP_PORT=1", "Healthcheck_tcp_port=2"}, nil, []int{2}, true},
		{"an empty variable", []string{"HEALTHCHECK_TCP_PORT="}, []string{"80/tcp"}, []int{80}, false},
	} {
		got, asked, err := Ports(c.env, c.exposed)
		if err != nil || asked != c.asked || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, %v", c.name, got, asked, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for image, want := range map[string]string{
		"redis": "redis:latest", "redis:7": "redis:7", "host:5000/redis": "host:5000/redis:latest",
	} {
		if got := Version(image); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Users know these lines, so they must equal GitLab's exactly.
func TestTexts(t *testing.T) {
	if got, want := Waiting(30*time.Second), "Waiting for services to be up and running (timeout 30 seconds)..."; got != want {
		t.Errorf("got %q", got)
	}
	got := NotStarted("redis:7", "no connection", "line 1\nline 2\n")
	want := "\n\x1b[0;33m*** WARNING:\x1b[0;m Service redis:7 probably didn't start properly.\n\nHealth check error:\nno connection\n\n" +
		"Service container logs:\nline 1\nline 2\n\n\x1b[0;33m*********\x1b[0;m\n"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if got, want := Line("db", at, "ready"), "\x1b[0;37m[service:db] 2026-01-02T03:04:05.000000006Z ready\x1b[0;m"; got != want {
		t.Errorf("got %q", got)
	}
}
