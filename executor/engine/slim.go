package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// LabelPrefix is the prefix of our labels. A list of containers keeps only these: a
// container also has all labels of its image, whose author chose their size, and a list
// may contain the containers of many jobs.
const LabelPrefix = "io.gitlab-sysbox-executor."

// longestLabel is longer than any label that we set, in bytes. An image may have labels
// with our prefix.
const longestLabel = 4 << 10

// mostOfContainer limits the memory for reading a list of containers, in bytes. The list
// is read one container at a time.
const mostOfContainer = 4 << 20

// slimContainer are the fields that we read of a container in a list (types/container, Summary).
type slimContainer struct {
	ID      string   `json:"Id"`
	Names   []string `json:"Names"`
	Created int64    `json:"Created"`
	Labels  map[string]string
}

// slim copies a list of containers one by one, with only the fields that we read.
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
	if _, err := d.Token(); err != nil { // end of the list
		return err
	}
	_, err := io.WriteString(to, strings.TrimPrefix(separator, ",")+"]")
	return err
}

// slimBody wraps the body of an answer that is a list of containers.
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
	_ = s.PipeReader.Close() // never fails
	return s.body.Close()
}
