package lyingengine

import (
	"bytes"
	"io"
	"net/http"
)

// keep holds an answer that does not reach its caller as it is.
type keep struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keep) Header() http.Header         { return k.header }
func (k *keep) WriteHeader(status int)      { k.status = status }
func (k *keep) Write(p []byte) (int, error) { return k.body.Write(p) }

// readAll reads a request's body, so that it outlives its connection.
func readAll(r *http.Request) (io.ReadCloser, error) {
	text, err := io.ReadAll(r.Body)
	return io.NopCloser(bytes.NewReader(text)), err
}
