// Package engine speaks to the Docker Engine. It is the only package that names
// the engine's client library: its types stop here.
//
// Every call is safe for concurrent use. Calls other than Pull and Exec are
// bounded by the time-out given to New. The client negotiates the API version,
// so engines from 20.10 (API 1.41) on are served.
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
	asking  *client.Client // for answers that hold what images say of themselves
	names   *client.Client // for what the engine calls images
	// oneImage keeps that of one image in memory at a time.
	oneImage sync.Mutex
}

// TLS names files in PEM form: who signs the engine's certificate (empty: whom the
// system trusts), and our own certificate with its key.
type TLS struct{ CA, Cert, Key string }

// New makes the client; it does not yet connect. Host is a URL: unix:///path,
// tcp://host:port or ssh://[user@]host[:port][/path].
func New(host string, timeout time.Duration) (*Engine, error) {
	return NewTLS(host, timeout, TLS{})
}

// NewTLS is New with TLS to a tcp:// host; the zero TLS is none.
func NewTLS(host string, timeout time.Duration, tls TLS) (*Engine, error) {
	options := []client.Opt{client.WithHost(host), client.WithAPIVersionNegotiation()}
	if path, ok := strings.CutPrefix(host, "unix://"); ok {
		options = append(options, client.WithDialContext(dialer(path)))
	}
	if tls != (TLS{}) {
		options = append(options, client.WithTLSClientConfig(tls.CA, tls.Cert, tls.Key))
	}
	if strings.HasPrefix(host, "ssh://") {
		// As the Docker CLI does: each connection is an ssh that runs `docker system
		// dial-stdio` there.
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

// dialer connects to the socket at path as the client itself does. The client takes
// any trouble in "dial unix" for an engine that is not there: one of our own
// machine's is told without these words.
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

// creating bounds a call that makes something. Such a call is not given up half-way:
// the engine would go on making what nobody waits for, and a removal that comes
// meanwhile would not find it yet.
func (e *Engine) creating(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := e.bounded(context.WithoutCancel(ctx))
	return ctx, cancel, nil
}

// Info is what we ask of an engine before using it.
type Info struct {
	Version  string
	Runtimes []string
	RootDir  string
	// LogDriver is the log driver of containers that ask for none.
	LogDriver string
	// IPv6Apart tells that the engine keeps the IPv6 of different networks apart, as
	// engines do from 27 (API 1.46) on unless they are configured otherwise
	// (https://docs.docker.com/engine/release-notes/27/#ipv6).
	IPv6Apart bool
}

// Info asks the engine about itself.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	i, err := e.client.Info(ctx)
	if err != nil {
		return Info{}, e.wrap("asking the engine about itself", err)
	}
	info := Info{IPv6Apart: versions.GreaterThanOrEqualTo(e.client.ClientVersion(), "1.46"), Version: i.ServerVersion, RootDir: i.DockerRootDir, LogDriver: i.LoggingDriver}
	for name := range i.Runtimes {
		info.Runtimes = append(info.Runtimes, name)
	}
	return info, nil
}
