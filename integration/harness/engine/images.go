package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// call sends a request other than GET and returns the whole answer.
func (e *Engine) call(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	client := e.http
	client.Timeout = 0 // a push takes as long as it takes
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}

// split parts name and tag of a reference that has a tag.
func split(ref string) (name, tag string) {
	n := strings.LastIndexByte(ref, ':')
	return ref[:n], ref[n+1:]
}

// Push sends an image to the registry in its name.
func (e *Engine) Push(ctx context.Context, ref, user, password string) error {
	name, tag := split(ref)
	auth, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		return err
	}
	header := http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(auth)}}
	text, err := e.call(ctx, http.MethodPost, "/images/"+name+"/push", url.Values{"tag": {tag}}, header, nil)
	if err == nil && bytes.Contains(text, []byte(`"error"`)) {
		err = errors.New(string(text))
	}
	return err
}

// RemoveImage takes a name from an image, and with its last one the image.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	_, err := e.call(ctx, http.MethodDelete, "/images/"+ref, nil, nil, nil)
	return err
}

// AddLayer makes ref from an image and one layer more: a tar archive.
func (e *Engine) AddLayer(ctx context.Context, image, ref string, archive []byte) error {
	text, err := e.call(ctx, http.MethodPost, "/containers/create", nil, http.Header{"Content-Type": {"application/json"}},
		fmt.Appendf(nil, `{"Image":%q}`, image))
	if err != nil {
		return err
	}
	var container struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(text, &container); err != nil {
		return err
	}
	name, tag := split(ref)
	_, err = e.call(ctx, http.MethodPut, "/containers/"+container.ID+"/archive", url.Values{"path": {"/"}},
		http.Header{"Content-Type": {"application/x-tar"}}, archive)
	if err == nil {
		_, err = e.call(ctx, http.MethodPost, "/commit", url.Values{"container": {container.ID}, "repo": {name}, "tag": {tag}},
			http.Header{"Content-Type": {"application/json"}}, []byte("{}"))
	}
	_, removed := e.call(ctx, http.MethodDelete, "/containers/"+container.ID, url.Values{"force": {"1"}}, nil, nil)
	return errors.Join(err, removed)
}

// Pull pulls an image as an administrator does.
func (e *Engine) Pull(ctx context.Context, ref, user, password string) error {
	name, tag := split(ref)
	auth, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		return err
	}
	header := http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(auth)}}
	text, err := e.call(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {name}, "tag": {tag}}, header, nil)
	if err == nil && bytes.Contains(text, []byte(`"error"`)) {
		err = errors.New(string(text))
	}
	return err
}

// Tag gives an image one more name.
func (e *Engine) Tag(ctx context.Context, image, ref string) error {
	name, tag := split(ref)
	_, err := e.call(ctx, http.MethodPost, "/images/"+image+"/tag", url.Values{"repo": {name}, "tag": {tag}}, nil, nil)
	return err
}
