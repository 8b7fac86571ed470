package engine

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness/pki"
)

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

func files(a *pki.Authority) TLS {
	return TLS{CA: a.Path("ca"), Cert: a.Path("cert"), Key: a.Path("key")}
}

// behindTLS is an engine that requires a certificate of a.
func behindTLS(t *testing.T, a *pki.Authority) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		fmt.Fprint(w, `{"ServerVersion":"behind TLS"}`)
	}))
	var err error
	if s.TLS, err = a.Server(); err != nil {
		t.Fatal(err)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the test checks the client's error
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://")
}

func TestTLS(t *testing.T) {
	ours, others := authority(t), authority(t)
	good, foreign := files(ours), files(others)
	address := behindTLS(t, ours)
	_, number, _ := net.SplitHostPort(address)
	for name, c := range map[string]struct {
		host  string
		tls   TLS
		wrong string
	}{
		"both know each other": {"tcp://" + address, good, ""},
		"another CA":           {"tcp://" + address, TLS{foreign.CA, good.Cert, good.Key}, "its certificate is not signed by engine.tls_ca"},
		"the system's CAs":     {"tcp://" + address, TLS{"", good.Cert, good.Key}, "its certificate is not signed by engine.tls_ca"},
		"another name":         {"tcp://localhost:" + number, good, "its certificate is not signed by engine.tls_ca, or is for another name"},
		"no certificate":       {"tcp://" + address, TLS{CA: good.CA}, "it refuses our certificate"},
		"another's":            {"tcp://" + address, TLS{good.CA, foreign.Cert, foreign.Key}, "it refuses our certificate"},
		"no TLS":               {"tcp://" + address, TLS{}, "it speaks TLS only"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New(c.host, time.Minute, c.tls)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			i, err := e.Info(t.Context())
			switch {
			case c.wrong == "" && (err != nil || i.Version != "behind TLS"):
				t.Errorf("%+v %v", i, err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), c.host)):
				t.Errorf("%v, want %q", err, c.wrong)
			}
		})
	}
	for _, missing := range []TLS{{CA: "/no/such"}, {CA: good.CA, Cert: "/no/such", Key: good.Key}} {
		if _, err := New("tcp://"+address, time.Minute, missing); err == nil || !strings.Contains(err.Error(), "/no/such") {
			t.Error(err)
		}
	}
}

func TestPlainEngineBehindTLSSettings(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	e, err := New("tcp://"+strings.TrimPrefix(plain.URL, "http://"), time.Minute, TLS{CA: authority(t).Path("ca")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "it does not speak TLS") {
		t.Error(err)
	}
}
