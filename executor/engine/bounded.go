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

// tooLarge says that the engine's answer is larger than is read of it. What an image
// says of itself is whatever its author wrote, and so are a registry's messages.
type tooLarge struct{ most int }

func (e *tooLarge) Error() string {
	return "the answer is larger than " + format.Bytes(e.most)
}

// IsTooLarge says that an answer was not read to its end because of its size.
func IsTooLarge(err error) bool {
	_, is := errors.AsType[*tooLarge](err)
	return is
}

// bounded reads at most so many bytes, until left is set again.
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

// boundedTransport bounds the body of each answer; of a list of containers it keeps
// what we read.
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

// newBounded makes a client whose answers are bounded.
func newBounded(most int, options []client.Opt) (*client.Client, error) {
	return newThrough(func(t http.RoundTripper) http.RoundTripper { return boundedTransport{t, most} }, options)
}

// newThrough makes a client whose answers come through a transport around its own. It is
// for single questions: the client cannot attach to a process through such a transport.
func newThrough(around func(http.RoundTripper) http.RoundTripper, options []client.Opt) (*client.Client, error) {
	inner := &http.Transport{}
	plain := &http.Client{Transport: inner, CheckRedirect: client.CheckRedirect}
	options = append([]client.Opt{client.WithHTTPClient(plain)}, options...)
	options = append(options, func(c *client.Client) error {
		if inner.TLSClientConfig != nil { // the client itself does not see it any more
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
