// Package engine is the client of the Docker Engine. Only this package uses the engine's
// client library and its types.
//
// Every call is safe for concurrent use. Every call except Pull and Exec is limited by
// the timeout given to New. The client negotiates the API version, so engines from 20.10
// (API 1.41) on are supported.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// Engine is a connection to one Docker Engine.
type Engine struct {
	host    string
	timeout time.Duration
	client  *client.Client
	asking  *client.Client // for answers with image descriptions
	names   *client.Client // for the names of images
	// oneImage limits the memory to one image description at a time.
	oneImage sync.Mutex
}

// TLS names PEM files: the CA of the engine's certificate (empty: the system's CAs), and
// our certificate with its key.
type TLS struct{ CA, Cert, Key string }

// New makes the client and does not connect yet. Host is a URL: unix:///path,
// tcp://host:port or ssh://[user@]host[:port][/path]. TLS is for a tcp:// host; the zero TLS
// means none.
func New(host string, timeout time.Duration, tls TLS) (*Engine, error) {
	options := []client.Opt{client.WithHost(host), client.WithAPIVersionNegotiation()}
	if path, ok := strings.CutPrefix(host, "unix://"); ok {
		options = append(options, client.WithDialContext(dialer(path)))
	}
	if tls != (TLS{}) {
		options = append(options, client.WithTLSClientConfig(tls.CA, tls.Cert, tls.Key))
	}
	if strings.HasPrefix(host, "ssh://") {
		// As in the Docker CLI, each connection is an ssh process that runs `docker system
		// dial-stdio` on the other machine.
		ssh, err := connhelper.GetConnectionHelper(host)
		if err != nil {
			return nil, fmt.Errorf("engine %s: %w", host, err)
		}
		options = []client.Opt{client.WithHost(ssh.Host), client.WithDialContext(ssh.Dialer), client.WithAPIVersionNegotiation()}
	}
	c, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", host, err)
	}
	asking, err := newBounded(mostOfImage, options)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", host, err)
	}
	names, err := newNames(options)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", host, err)
	}
	return &Engine{host: host, timeout: timeout, client: c, asking: asking, names: names}, nil
}

// dialer connects to the socket at path as the client does. The client treats every error
// with the text "dial unix" as an engine that is not reachable. So this dialer returns
// errors of our own machine (too many open files) without that text.
func dialer(path string) func(context.Context, string, string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := d.DialContext(ctx, "unix", path)
		if errno, ok := errors.AsType[syscall.Errno](err); ok && (errno == syscall.EMFILE || errno == syscall.ENFILE) {
			return nil, os.NewSyscallError("socket", errno)
		}
		return c, err
	}
}

// Host is the URL given to New.
func (e *Engine) Host() string { return e.host }

// Close ends idle connections.
func (e *Engine) Close() error {
	return errors.Join(e.client.Close(), e.asking.Close(), e.names.Close())
}

func (e *Engine) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.timeout)
}

// creating limits the time of a call that makes something, independent of ctx. If such a
// call were cancelled, the engine would continue to make the resource, and a removal at
// that moment would not find it.
func (e *Engine) creating(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := e.bounded(context.WithoutCancel(ctx))
	return ctx, cancel, nil
}

// Info are the properties of an engine.
type Info struct {
	Version  string
	API      string // the version that both sides use
	Runtimes []string
	// RuntimePaths are the programs of the runtimes, by name. The engine looks for one without
	// a slash on its PATH; that of a containerd shim is empty.
	RuntimePaths map[string]string
	RootDir      string
	// StorageDriver is that of the engine's images and containers.
	StorageDriver string
	CgroupVersion string // "1" or "2"; empty before 20.10
	CgroupDriver  string // "cgroupfs", "systemd" or "none"
	// LogDriver is the default log driver.
	LogDriver string
	// IPv6Apart is true if the engine isolates the IPv6 of different networks. Engines
	// from 27 (API 1.46) on do so unless they are configured otherwise
	// (https://docs.docker.com/engine/release-notes/27/#ipv6).
	IPv6Apart bool
}

// Info returns the properties of the engine.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	i, err := e.client.Info(ctx)
	if err != nil {
		return Info{}, e.wrap("asking the engine about itself", err)
	}
	info := Info{IPv6Apart: versions.GreaterThanOrEqualTo(e.client.ClientVersion(), "1.46"), Version: i.ServerVersion, RootDir: i.DockerRootDir, LogDriver: i.LoggingDriver,
		API: e.client.ClientVersion(), RuntimePaths: map[string]string{}, StorageDriver: i.Driver, CgroupVersion: i.CgroupVersion, CgroupDriver: i.CgroupDriver}
	for name, r := range i.Runtimes {
		info.Runtimes = append(info.Runtimes, name)
		info.RuntimePaths[name] = r.Path
	}
	return info, nil
}
