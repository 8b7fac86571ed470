package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// LabelPrefix is what labels begin with that we set. A list of containers holds no
// others: a container has all labels of its image, which are as long as their author
// likes, and a list may be of many jobs' containers.
const LabelPrefix = "io.gitlab-sysbox-executor."

// longestLabel is more than any label of ours has, in bytes. An image's labels may
// begin as ours do.
const longestLabel = 4 << 10

// mostOfContainer bounds what is read at a time of a list of containers, in bytes: one
// container.
const mostOfContainer = 4 << 20

// slimContainer is what we read of a container in a list (types/container, Summary).
type slimContainer struct {
	ID      string   `json:"Id"`
	Names   []string `json:"Names"`
	Created int64    `json:"Created"`
	Labels  map[string]string
}

// slim copies a list of containers with what we read of each, one after the other.
func slim(from io.Reader, to io.Writer) error {
	body := &bounded{Reader: from, most: mostOfContainer, left: mostOfContainer}
	d := json.NewDecoder(body)
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('[') {
		return fmt.Errorf("the engine's list of containers begins with %T", t)
	}
	separator := "["
	for d.More() {
		var c slimContainer
		if err := d.Decode(&c); err != nil {
			return err
		}
		body.left = mostOfContainer
		for name, value := range c.Labels {
			if !strings.HasPrefix(name, LabelPrefix) || len(value) > longestLabel {
				delete(c.Labels, name)
			}
		}
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(to, "%s%s", separator, text); err != nil {
			return err
		}
		separator = ","
	}
	if _, err := d.Token(); err != nil { // the end of the list
		return err
	}
	_, err := io.WriteString(to, strings.TrimPrefix(separator, ",")+"]")
	return err
}

// slimBody is the body of an answer that is a list of containers.
func slimBody(body io.ReadCloser) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(slim(body, w)) }()
	return slimReader{r, body}
}

type slimReader struct {
	*io.PipeReader
	body io.Closer
}

func (s slimReader) Close() error {
	_ = s.PipeReader.Close() // gives none
	return s.body.Close()
}
