package config

import (
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Engine is where the Docker Engine listens.
type Engine struct {
	// Host is unix:///path or tcp://host:port.
	Host string `toml:"host"`
	// Timeout is the longest wait for one answer of the engine other than pulls.
	Timeout Duration `toml:"timeout"`
}

func defaultEngine() Engine {
	return Engine{
		Host:    "unix:///var/run/docker.sock",
		Timeout: Duration(2 * time.Minute),
	}
}

func (e *Engine) check(k *checker) {
	k.host("engine.host", e.Host)
	k.positive("engine.timeout", e.Timeout, "2m")
}

// host wants an address that the engine's client can dial: a socket's absolute
// path, or a name and a port.
func (k *checker) host(key, host string) {
	const right = `write "unix:///var/run/docker.sock" or for example "tcp://127.0.0.1:2375"`
	if rest, ok := strings.CutPrefix(host, "tcp://"); ok && strings.Contains(rest, "@") {
		// What stands before the @ may be a password: not echoed.
		k.bad(key, "a user name or password in a tcp address is of no use to the engine; %s", right)
		return
	}
	u, err := url.Parse(host)
	switch {
	case err != nil:
		k.bad(key, "%q is not an address; %s", host, right)
	case u.Scheme != "unix" && u.Scheme != "tcp":
		k.bad(key, "%q is not a unix:// or tcp:// address; %s", host, right)
	case u.RawQuery != "" || u.Fragment != "":
		k.bad(key, "%q has a part behind ? or #; %s", host, right)
	case u.Scheme == "unix" && (u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/"):
		k.bad(key, "%q names no socket by its absolute path; %s", host, right)
	case u.Scheme == "tcp" && (u.Hostname() == "" || !port(u.Port())):
		k.bad(key, "%q lacks a host or a port from 1 to 65535; %s", host, right)
	}
}

func port(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
