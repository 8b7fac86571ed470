// Package engine asks a Docker Engine what the tests want to know, in the few
// plain requests that every engine answers: neither a docker command nor a
// client library speaks with engines too far from its own age.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Engine is an engine at a unix socket.
type Engine struct {
	Host string // unix:///path
	http http.Client
}

// At is the engine at a host such as unix:///path.
func At(host string) *Engine {
	socket := strings.TrimPrefix(host, "unix://")
	return &Engine{Host: host, http: http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}}
}

// get decodes what the engine answers.
func (e *Engine) get(ctx context.Context, path string, query url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := e.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // only to explain
		err := fmt.Errorf("%s: %s: %s", path, response.Status, strings.TrimSpace(string(text)))
		if response.StatusCode == http.StatusNotFound {
			err = errors.Join(fs.ErrNotExist, err)
		}
		return err
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// Object is a container, volume or network.
type Object struct {
	ID     string
	Name   string
	Labels map[string]string
	Detail string // for a person: image and state, driver
}

func filters(labels []string) url.Values {
	if len(labels) == 0 {
		return url.Values{}
	}
	text, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		panic(err) // strings always encode
	}
	return url.Values{"filters": {string(text)}}
}

// Containers are all with these labels (KEY or KEY=VALUE), running or not. An engine that was killed may
// list a container for ever that it has removed since: without a name, and unknown if it is asked for.
func (e *Engine) Containers(ctx context.Context, labels ...string) ([]Object, error) {
	var list []struct {
		ID           string `json:"Id"`
		Names        []string
		Image, State string
		Labels       map[string]string
	}
	query := filters(labels)
	query.Set("all", "1")
	if err := e.get(ctx, "/containers/json", query, &list); err != nil {
		return nil, err
	}
	var all []Object
	for _, c := range list {
		if len(c.Names) == 0 {
			if _, err := e.Inspect(ctx, c.ID); errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		all = append(all, Object{ID: c.ID, Name: strings.Join(c.Names, ","), Labels: c.Labels, Detail: c.Image + ", " + c.State})
	}
	return all, nil
}

// Volumes are all with these labels.
func (e *Engine) Volumes(ctx context.Context, labels ...string) ([]Object, error) {
	var list struct {
		Volumes []struct {
			Name, Driver string
			Labels       map[string]string
		}
	}
	if err := e.get(ctx, "/volumes", filters(labels), &list); err != nil {
		return nil, err
	}
	var all []Object
	for _, v := range list.Volumes {
		all = append(all, Object{ID: v.Name, Name: v.Name, Labels: v.Labels, Detail: v.Driver})
	}
	return all, nil
}

// Networks are all with these labels.
func (e *Engine) Networks(ctx context.Context, labels ...string) ([]Object, error) {
	var list []struct {
		ID           string `json:"Id"`
		Name, Driver string
		Labels       map[string]string
	}
	if err := e.get(ctx, "/networks", filters(labels), &list); err != nil {
		return nil, err
	}
	var all []Object
	for _, n := range list {
		all = append(all, Object{ID: n.ID, Name: n.Name, Labels: n.Labels, Detail: n.Driver})
	}
	return all, nil
}

// Container is what the tests ask of a container.
type Container struct {
	Config struct {
		Env    []string
		User   string
		Image  string
		Labels map[string]string
	}
	HostConfig struct {
		Runtime           string
		AutoRemove        bool
		NanoCPUs          float64 `json:"NanoCpus"`
		Memory            int64
		MemorySwap        int64
		MemoryReservation int64
		PidsLimit         int64
		Tmpfs             map[string]string
		SecurityOpt       []string
		LogConfig         struct{ Config map[string]string }
		Privileged        bool
	}
	Mounts  []struct{ Type, Name, Source, Destination string }
	State   struct{ Pid int }
	LogPath string // on the host
}

// Inspect looks at one container.
func (e *Engine) Inspect(ctx context.Context, id string) (Container, error) {
	var c Container
	err := e.get(ctx, "/containers/"+id+"/json", nil, &c)
	return c, err
}

// ImageID is the ID of an image that the engine has.
func (e *Engine) ImageID(ctx context.Context, reference string) (string, error) {
	var image struct {
		ID string `json:"Id"`
	}
	err := e.get(ctx, "/images/"+reference+"/json", nil, &image)
	return image.ID, err
}

// Events counts the events of a job's containers between two times: `start`, or `exec_create`.
func (e *Engine) Events(ctx context.Context, event string, job int64, since, until time.Time) (int, error) {
	stamp := func(t time.Time) string {
		return strconv.FormatInt(t.Unix(), 10) + fmt.Sprintf(".%09d", t.Nanosecond())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/events?"+url.Values{
		"since": {stamp(since)}, "until": {stamp(until)},
		"filters": {fmt.Sprintf(`{"type":["container"],"event":[%q],"label":["io.gitlab-sysbox-executor.job=%d"]}`, event, job)},
	}.Encode(), nil)
	if err != nil {
		return 0, err
	}
	response, err := e.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/events: %s", response.Status)
	}
	count := 0
	for stream := json.NewDecoder(response.Body); ; count++ {
		var event struct{ Action string }
		switch err := stream.Decode(&event); {
		case err == io.EOF:
			return count, nil
		case err != nil:
			return 0, err
		}
	}
}
