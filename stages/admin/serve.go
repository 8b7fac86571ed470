package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/stages/app"
)

// scrapeTime limits one scrape. Prometheus waits 10 s by default.
const scrapeTime = 9 * time.Second

// exporter serves the metrics over HTTP.
type exporter struct {
	parts   *app.Jobs
	options metricsOptions
	log     *logrus.Logger
}

const engineUpHelp = "Whether the engine answers. Without it there are only counters and histograms."

// collect returns the metrics. If the engine does not answer, it returns the counters and histograms, and
// the reason in failed. An error means that there are none.
func (e exporter) collect(ctx context.Context) (all []*dto.MetricFamily, failed, err error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	t, err := e.parts.Accounts.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	h, failed := e.parts.Overview.Host(ctx, e.options.folder, e.options.sizes)
	var g gauges
	if failed == nil {
		g = families(h, e.options)
	} else {
		g.add("engine_up", engineUpHelp, of(0))
	}
	return append(g, totals(t)...), failed, nil
}

// address completes a port to an address of the loopback interface.
func address(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil && !strings.ContainsAny(listen, ":[]") {
		host, port, err = "", listen, nil
	}
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
		return "", fmt.Errorf("--listen %q is not an address; write for example 9253 or 127.0.0.1:9253", listen)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// serve serves the metrics until ctx ends. Then it completes the scrapes that run.
func serve(ctx context.Context, listen string, e exporter) error {
	where, err := address(listen)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return fmt.Errorf("metrics: --listen: %w", err)
	}
	e.log.Infof("Serving the metrics at http://%s/metrics", l.Addr())
	return serveOn(ctx, l, e.handler(), e.log)
}

func serveOn(ctx context.Context, l net.Listener, h http.Handler, logger *logrus.Logger) error {
	w := logger.WriterLevel(logrus.DebugLevel) // of the server: a client that breaks off, for example
	defer w.Close()
	s := &http.Server{
		Handler: h, ErrorLog: log.New(w, "", 0),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: scrapeTime + 20*time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.Background(), scrapeTime+time.Second)
		defer cancel()
		stopped <- s.Shutdown(ending)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("metrics: stopping: %w", err)
	}
	return nil
}

// index is the page at /.
const index = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>gitlab-sysbox-executor</title></head>
<body><h1>gitlab-sysbox-executor</h1><p><a href="/metrics">Metrics</a> of this machine's CI jobs, in Prometheus' text format.</p></body></html>
`

// handler serves /metrics and a page that links to it. Scrapes at the same time share one look at the engine
// at most: the others wait for their turn.
func (e exporter) handler() http.Handler {
	var turn sync.Mutex
	var last string // the last reason that was logged
	collect := func(ctx context.Context) ([]*dto.MetricFamily, error) {
		turn.Lock()
		defer turn.Unlock()
		all, failed, err := e.collect(ctx)
		text := ""
		if reason := errors.Join(failed, err); reason != nil {
			text = reason.Error()
		}
		if text != last && ctx.Err() == nil {
			if last = text; text != "" {
				e.log.Warnf("Metrics without the gauges: %s", text)
			} else {
				e.log.Info("The metrics are complete again.")
			}
		}
		return all, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, index) // the client has gone
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		all, err := collect(r.Context())
		var b bytes.Buffer
		if err == nil {
			err = printFamilies(all, &b)
		}
		if err != nil {
			http.Error(w, "the metrics cannot be read; the log of this service has the reason", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
		_, _ = w.Write(b.Bytes()) // the client has gone
	})
	return mux
}
