package config

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Engine is the address of the Docker Engine.
type Engine struct {
	// Host is unix:///path, tcp://host:port or ssh://[user@]host[:port][/path].
	Host string `toml:"host"`
	// TLSCA, TLSCert and TLSKey are PEM files for a tcp host: the authority that signed the
	// engine's certificate, and our own certificate with its key. Without them there is no
	// TLS, unless the environment has DOCKER_TLS_VERIFY.
	TLSCA   string `toml:"tls_ca"`
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// Insecure permits a tcp host on another machine without TLS.
	Insecure bool `toml:"insecure"`
	// Timeout bounds the wait for one answer of the engine, except for pulls.
	Timeout Duration `toml:"timeout"`
}

func defaultEngine() Engine {
	return Engine{
		Host:    "unix:///var/run/docker.sock",
		Timeout: Duration(2 * time.Minute),
	}
}

// complete takes missing keys from the environment, as the Docker CLI does
// (https://docs.docker.com/reference/cli/docker/#environment-variables).
func (e *Engine) complete(k *checker, getenv func(string) string) {
	if host := getenv("DOCKER_HOST"); host != "" && k.lines["engine.host"] == 0 {
		e.Host = host
		k.from["engine.host"] = "DOCKER_HOST of the environment"
	}
	if !strings.HasPrefix(e.Host, "tcp://") || e.TLSCA != "" || e.TLSCert != "" || e.TLSKey != "" || getenv("DOCKER_TLS_VERIFY") == "" {
		return
	}
	dir := getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = cmp.Or(getenv("DOCKER_CONFIG"), filepath.Join(getenv("HOME"), ".docker"))
	}
	for key, to := range map[string]*string{"ca": &e.TLSCA, "cert": &e.TLSCert, "key": &e.TLSKey} {
		file := filepath.Join(dir, key+".pem")
		k.from["engine.tls_"+key] = "DOCKER_CERT_PATH of the environment"
		if _, err := os.Stat(file); key == "ca" || !os.IsNotExist(err) { // the CLI has the same exception
			*to = file
		}
	}
}

func (e *Engine) check(k *checker) {
	k.host("engine.host", e.Host)
	k.positive("engine.timeout", e.Timeout, "2m")
	files := []struct{ key, file, example string }{
		{"engine.tls_ca", e.TLSCA, "/etc/gitlab-sysbox-executor/ca.pem"},
		{"engine.tls_cert", e.TLSCert, "/etc/gitlab-sysbox-executor/cert.pem"},
		{"engine.tls_key", e.TLSKey, "/etc/gitlab-sysbox-executor/key.pem"},
	}
	secured := false
	for _, f := range files {
		if f.file == "" {
			continue
		}
		secured = true
		if k.absolute(f.key, f.file, f.example) && k.sound("engine.host") && !strings.HasPrefix(e.Host, "tcp://") {
			k.bad(f.key, "%q is not possible: TLS needs a tcp:// address, and engine.host is %q; remove the key", f.file, e.Host)
		}
	}
	if (e.TLSCert == "") != (e.TLSKey == "") && k.sound("engine.tls_cert", "engine.tls_key") {
		k.bad("engine.tls_cert", "tls_cert and tls_key need each other; write both, or neither")
	}
	if rest, tcp := strings.CutPrefix(e.Host, "tcp://"); tcp && !secured && !e.Insecure && k.sound("engine.host") && !loopback(rest) {
		k.bad("engine.host", "%q is another machine's address without TLS: a client that reaches it has root there, and registry credentials are sent in clear text; write engine.tls_ca, tls_cert and tls_key, or engine.insecure = true if no other machine can reach it", e.Host)
	}
}

// loopback reports whether host:port is reachable from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// host requires an address that the engine's client can dial: the absolute path of a
// socket, or a name and a port.
func (k *checker) host(key, host string) {
	const right = `write "unix:///var/run/docker.sock", for example "tcp://engine.example.com:2376", or "ssh://user@engine.example.com"`
	if scheme, rest, ok := strings.Cut(host, "://"); ok && (scheme == "tcp" && strings.Contains(rest, "@") || scheme == "ssh" && strings.Contains(before(rest, "@"), ":")) {
		// The text before the @ may be a password: it is not shown.
		k.bad(key, "the address has a password, or a user name with tcp, which the engine does not use; %s", right)
		return
	}
	u, err := url.Parse(host)
	switch {
	case err != nil:
		k.bad(key, "%q is not an address; %s", host, right)
	case u.Scheme != "unix" && u.Scheme != "tcp" && u.Scheme != "ssh":
		k.bad(key, "%q is not a unix://, tcp:// or ssh:// address; %s", host, right)
	case u.RawQuery != "" || u.Fragment != "":
		k.bad(key, "%q has a query or a fragment behind ? or #; %s", host, right)
	case u.Scheme == "unix" && (u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/"):
		k.bad(key, "%q is not the absolute path of a socket; %s", host, right)
	case u.Scheme == "tcp" && (u.Hostname() == "" || !port(u.Port())):
		k.bad(key, "%q lacks a host or a port from 1 to 65535; %s", host, right)
	case u.Scheme == "ssh" && (u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") || u.Port() != "" && !port(u.Port())):
		k.bad(key, "%q lacks a host, or its port is not from 1 to 65535; %s", host, right)
	}
}

// before returns the part of text before the last sep; empty without one.
func before(text, sep string) string {
	i := strings.LastIndex(text, sep)
	return text[:max(i, 0)]
}

func port(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
