package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEngineHost(t *testing.T) {
	const right = `; write "unix:///var/run/docker.sock", for example "tcp://engine.example.com:2376", or "ssh://user@engine.example.com"`
	tests := []struct{ host, wrong string }{
		{host: "unix:///run/user@1000/docker.sock"},
		{host: "tcp://[::1]:2375"},
		{host: "tcp://127.0.0.2:2375/"},
		{host: "tcp://localhost:2375"},
		{host: "ssh://root@host"},
		{host: "ssh://host:22/run/docker.sock"},
		{host: "", wrong: `"" is not a unix://, tcp:// or ssh:// address`},
		{host: "/var/run/docker.sock", wrong: `"/var/run/docker.sock" is not a unix://, tcp:// or ssh:// address`},
		{host: "npipe:////./pipe/docker_engine", wrong: `"npipe:////./pipe/docker_engine" is not a unix://, tcp:// or ssh:// address`},
		{host: "unix://docker.sock", wrong: `"unix://docker.sock" is not the absolute path of a socket`},
		{host: "unix:///", wrong: `"unix:///" is not the absolute path of a socket`},
		{host: "tcp://host", wrong: `"tcp://host" lacks a host or a port from 1 to 65535`},
		{host: "tcp://:2375", wrong: `"tcp://:2375" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:0", wrong: `"tcp://host:0" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:65536", wrong: `"tcp://host:65536" lacks a host or a port from 1 to 65535`},
		{host: "tcp://host:2375?a=b", wrong: `"tcp://host:2375?a=b" has a query or a fragment behind ? or #`},
		{host: "tcp://host:port", wrong: `"tcp://host:port" is not an address`},
		{host: "tcp://root:secret@host:2375", wrong: `the address has a password, or a user name with tcp, which the engine does not use`},
		{host: "ssh://root:secret@host", wrong: `the address has a password, or a user name with tcp, which the engine does not use`},
		{host: "ssh://", wrong: `"ssh://" lacks a host, or its port is not from 1 to 65535`},
		{host: "ssh://-oProxyCommand=x", wrong: `"ssh://-oProxyCommand=x" lacks a host, or its port is not from 1 to 65535`},
		{host: "ssh://host:0", wrong: `"ssh://host:0" lacks a host, or its port is not from 1 to 65535`},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			var want []string
			if tt.wrong != "" {
				want = []string{"c.toml:2: engine.host: " + tt.wrong + right}
			}
			wantErrors(t, fmt.Sprintf("[engine]\nhost = %q", tt.host), want...)
		})
	}
}

// Whoever reaches an engine's port is root on its machine.
func TestHostileEngineWithoutTLS(t *testing.T) {
	const refused = ` is another machine's address without TLS: a client that reaches it has root there, and registry credentials are sent in clear text; write engine.tls_ca, tls_cert and tls_key, or engine.insecure = true if no other machine can reach it`
	for _, host := range []string{"tcp://engine.example.com:2375", "tcp://192.0.2.1:2375", "tcp://0.0.0.0:2375", "tcp://[2001:db8::1]:2376", "tcp://localhost.example.com:2375"} {
		wantErrors(t, fmt.Sprintf("[engine]\nhost = %q", host), fmt.Sprintf("c.toml:2: engine.host: %q", host)+refused)
		wantErrors(t, fmt.Sprintf("[engine]\nhost = %q\ninsecure = true", host))
		wantErrors(t, fmt.Sprintf("[engine]\nhost = %q\ntls_ca = \"/ca.pem\"\ntls_cert = \"/cert.pem\"\ntls_key = \"/key.pem\"", host))
		wantErrors(t, fmt.Sprintf("[engine]\nhost = %q\ntls_ca = \"/ca.pem\"", host))
	}
}

func TestEngineTLS(t *testing.T) {
	const host = "[engine]\nhost = \"tcp://engine.example.com:2376\"\n"
	wantErrors(t, host+"tls_cert = \"/cert.pem\"", "c.toml:3: engine.tls_cert: tls_cert and tls_key need each other; write both, or neither")
	wantErrors(t, host+"tls_ca = \"ca.pem\"", `c.toml:3: engine.tls_ca: "ca.pem" is not an absolute path; write for example "/etc/gitlab-sysbox-executor/ca.pem"`)
	wantErrors(t, "[engine]\ntls_ca = \"/ca.pem\"", `c.toml:2: engine.tls_ca: "/ca.pem" is not possible: TLS needs a tcp:// address, and engine.host is "unix:///var/run/docker.sock"; remove the key`)
	wantErrors(t, "[engine]\nhost = \"ssh://x\"\ntls_ca = \"/ca.pem\"", `c.toml:3: engine.tls_ca: "/ca.pem" is not possible: TLS needs a tcp:// address, and engine.host is "ssh://x"; remove the key`)
}

// What the file does not say is the environment's, as the Docker CLI reads it.
func TestEngineOfTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home, withoutKey := filepath.Join(dir, "home"), filepath.Join(dir, "ca-only")
	tls := func(dir string) Engine {
		return Engine{Host: "tcp://x:2376", TLSCA: dir + "/ca.pem", TLSCert: dir + "/cert.pem", TLSKey: dir + "/key.pem"}
	}
	for name, c := range map[string]struct {
		data        string
		environment map[string]string
		want        Engine
		wrong       string
	}{
		"nothing":                 {"", nil, Engine{Host: "unix:///var/run/docker.sock"}, ""},
		"a host":                  {"", map[string]string{"DOCKER_HOST": "unix:///x.sock"}, Engine{Host: "unix:///x.sock"}, ""},
		"ssh":                     {"", map[string]string{"DOCKER_HOST": "ssh://x"}, Engine{Host: "ssh://x"}, ""},
		"the file's":              {"host = \"unix:///var/run/docker.sock\"", map[string]string{"DOCKER_HOST": "unix:///x.sock"}, Engine{Host: "unix:///var/run/docker.sock"}, ""},
		"TLS":                     {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, tls(dir), ""},
		"TLS of both":             {"host = \"tcp://x:2376\"", map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, tls(dir), ""},
		"TLS of home":             {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "HOME": home}, Engine{Host: "tcp://x:2376", TLSCA: home + "/.docker/ca.pem"}, ""},
		"TLS of the CLI's folder": {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "HOME": home, "DOCKER_CONFIG": dir}, tls(dir), ""},
		"no key there":            {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": withoutKey}, Engine{Host: "tcp://x:2376", TLSCA: withoutKey + "/ca.pem"}, ""},
		"not asked for": {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_CERT_PATH": dir}, Engine{},
			`c.toml: engine.host: (DOCKER_HOST of the environment) "tcp://x:2376" is another machine's address without TLS`},
		"nonsense": {"", map[string]string{"DOCKER_HOST": "x:2376"}, Engine{}, `c.toml: engine.host: (DOCKER_HOST of the environment) "x:2376" is not a unix://, tcp:// or ssh:// address`},
		"a relative path": {"", map[string]string{"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "certs"}, Engine{},
			`c.toml: engine.tls_ca: (DOCKER_CERT_PATH of the environment) "certs/ca.pem" is not an absolute path`},
		"the file's TLS": {"host = \"tcp://x:2376\"\ntls_ca = \"/ca.pem\"", map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, Engine{Host: "tcp://x:2376", TLSCA: "/ca.pem"}, ""},
		"a socket":       {"", map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, Engine{Host: "unix:///var/run/docker.sock"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := read("c.toml", "[engine]\n"+c.data, func(name string) string { return c.environment[name] })
			if c.wrong != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.wrong) {
					t.Errorf("got %v, want %s", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Timeout = cfg.Engine.Timeout; cfg.Engine != c.want {
				t.Errorf("got %+v, want %+v", cfg.Engine, c.want)
			}
		})
	}
}

func TestEngineTimeout(t *testing.T) {
	wantErrors(t, "[engine]\ntimeout = \"0s\"",
		`c.toml:2: engine.timeout: must be greater than zero, for example "2m"`)
}
