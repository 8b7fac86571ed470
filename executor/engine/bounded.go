package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/docker/docker/client"

	"gitlab-sysbox-executor/executor/format"
)

// tooLarge is the error for an answer of the engine that exceeds the size limit. Image
// authors and registries choose the size of descriptions and messages.
type tooLarge struct{ most int }

func (e *tooLarge) Error() string {
	return "the answer is larger than " + format.Bytes(e.most)
}

// IsTooLarge reports whether an answer exceeded the size limit.
func IsTooLarge(err error) bool {
	_, is := errors.AsType[*tooLarge](err)
	return is
}

// bounded reads at most left bytes.
type bounded struct {
	io.Reader
	most, left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &tooLarge{b.most}
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// boundedTransport limits the size of each answer. Of a list of containers it keeps
// only the fields that we read.
type boundedTransport struct {
	http.RoundTripper
	most int
}

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	switch {
	case err != nil || answer.Body == nil:
	case answer.StatusCode == http.StatusOK && strings.HasSuffix(r.URL.Path, "/containers/json"):
		answer.Body = slimBody(answer.Body)
	default:
		answer.Body = struct {
			io.Reader
			io.Closer
		}{&bounded{answer.Body, t.most, t.most}, answer.Body}
	}
	return answer, err
}

// newBounded makes a client with limited answers.
func newBounded(most int, options []client.Opt) (*client.Client, error) {
	return newThrough(func(t http.RoundTripper) http.RoundTripper { return boundedTransport{t, most} }, options)
}

// newThrough makes a client that wraps its own transport with around. The client is only
// for single requests: it cannot attach to a process through a wrapped transport.
func newThrough(around func(http.RoundTripper) http.RoundTripper, options []client.Opt) (*client.Client, error) {
	inner := &http.Transport{}
	plain := &http.Client{Transport: inner, CheckRedirect: client.CheckRedirect}
	options = append([]client.Opt{client.WithHTTPClient(plain)}, options...)
	options = append(options, func(c *client.Client) error {
		if inner.TLSClientConfig != nil { // the client no longer sees this itself
			if err := client.WithScheme("https")(c); err != nil {
				return err
			}
		}
		return client.WithHTTPClient(&http.Client{Transport: around(inner), CheckRedirect: client.CheckRedirect})(c)
	})
	c, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, fmt.Errorf("a client with its own transport: %w", err)
	}
	return c, nil
}
