package hostile

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pki"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// join copies both ways between two connections until both have ended.
func join(a, b io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	for _, c := range []struct{ to, from io.ReadWriteCloser }{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(c.to, c.from)
			if half, ok := c.to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			} else {
				_ = c.to.Close()
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	_, _ = a.Close(), b.Close()
}

// socketOf is the path of the private engine's socket.
func socketOf() string { return strings.TrimPrefix(harness.World.Engine.Host, "unix://") }

// behindTLS is the private engine at a port that wants a client's certificate.
func behindTLS(t *testing.T, a *pki.Authority) (address string) {
	t.Helper()
	config, err := a.Server()
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if from.(*tls.Conn).Handshake() != nil {
					from.Close()
					return
				}
				to, err := net.Dial("unix", socketOf())
				if err != nil {
					from.Close()
					return
				}
				join(from, to)
			}()
		}
	}()
	return l.Addr().String()
}

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	a, err := pki.New(t.TempDir())
	if err == nil {
		err = a.Client()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A whole job at an engine behind TLS, by the file and by the environment; and nothing
// without the right certificates.
func TestHostileEngineBehindTLS(t *testing.T) {
	t.Parallel()
	ours, others := authority(t), authority(t)
	address := behindTLS(t, ours)
	settingsOf := func(ca, cert, key string) harness.Settings {
		return harness.Settings{Engine: fmt.Sprintf("host = \"tcp://%s\"\ntls_ca = %q\ntls_cert = %q\ntls_key = %q", address, ca, cert, key)}
	}
	script := []string{"cat >file <<END\ninput\nEND", "cat file", "exit 3"}
	whole := func(t *testing.T, p *harness.Place) {
		t.Helper()
		r := p.Runner.Play(harness.Job(t, "bookworm", script...))
		if call := r.Call(runner.StageBuild); r.Outcome != runner.ScriptFailure || call == nil || !call.Output.Has("input") {
			t.Error(r)
		}
	}
	t.Run("by the file", func(t *testing.T) {
		t.Parallel()
		whole(t, harness.NewPlace(t, settingsOf(ours.Path("ca"), ours.Path("cert"), ours.Path("key"))))
	})
	t.Run("by the environment", func(t *testing.T) {
		t.Parallel()
		p := harness.NewPlace(t, harness.Settings{Engine: "timeout = \"2m\""})
		whole(t, p.Under("env", "DOCKER_HOST=tcp://"+address, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH="+ours.Dir))
	})
	for name, c := range map[string]struct {
		settings harness.Settings
		want     string
	}{
		"another authority":        {settingsOf(others.Path("ca"), ours.Path("cert"), ours.Path("key")), "its certificate is not signed by engine.tls_ca"},
		"no certificate":           {settingsOf(ours.Path("ca"), "", ""), "it refuses our certificate"},
		"a certificate of another": {settingsOf(ours.Path("ca"), others.Path("cert"), others.Path("key")), "it refuses our certificate"},
		"in clear":                 {harness.Settings{Engine: fmt.Sprintf("host = \"tcp://%s\"", address)}, "the Docker Engine at tcp://" + address},
		"in clear elsewhere":       {harness.Settings{Engine: "host = \"tcp://192.0.2.1:2375\""}, "is another machine's address without TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, c.settings)
			r := p.Runner.Play(harness.Job(t, "bookworm", "true"))
			if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), c.want) {
				t.Error(r)
			}
		})
	}
}

// dialStdio is what `docker system dial-stdio` does, for the ssh of the test below.
func dialStdio(socket string) int {
	c, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, c) // its end is that of all
	return 0
}

// A whole job at an engine behind ssh. The ssh here is one that goes nowhere else; its
// arguments are those that a real one gets.
func TestEngineBehindSSH(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s/arguments\nGSX_DIAL_STDIO=%s exec %s\n", dir, socketOf(), self)
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	p := harness.NewPlace(t, harness.Settings{Engine: "host = \"ssh://ci@engine.example.com:2222\""})
	r := p.Under("env", "PATH="+dir+":"+os.Getenv("PATH")).Runner.Play(harness.Job(t, "bookworm", "echo over ssh", "exit 3"))
	if call := r.Call(runner.StageBuild); r.Outcome != runner.ScriptFailure || call == nil || !call.Output.Has("over ssh") {
		t.Error(r)
	}
	arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
	if first, _, _ := strings.Cut(string(arguments), "\n"); err != nil || !strings.Contains(first, "-l ci -p 2222") || !strings.HasSuffix(first, "-- engine.example.com docker system dial-stdio") {
		t.Errorf("%q %v", first, err)
	}
}
