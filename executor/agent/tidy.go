package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/walk"
)

// TidyTime bounds a TidyRequest.
const TidyTime = time.Minute

// TidyRequest asks to make the storage volume ready for the project's next job, after the job's last script.
type TidyRequest struct {
	User   string `json:"user,omitempty"` // as in ExecRequest
	Init   bool   `json:"init"`
	Volume string `json:"volume"` // mount point of the storage volume
	// Temps are folders on the volume that are emptied.
	Temps []string `json:"temps,omitempty"`
	// Most is a size in bytes. If more is used, images without a tag are removed.
	Most int64 `json:"most"`
	// Empty removes all that earlier jobs left on the volume; then nothing else is done.
	Empty bool `json:"empty,omitempty"`
}

// TidyResponse is the state of the volume. Images are those of Buildah and Podman.
type TidyResponse struct {
	Error    string            `json:"error,omitempty"` // if set, all other fields are empty
	Images   int               `json:"images"`
	Versions map[string]string `json:"versions,omitempty"` // as in VersionsResponse
}

// Tidy answers a TidyRequest read from in with a TidyResponse written to out.
func Tidy(in io.Reader, out io.Writer) error { return answer("tidy", in, out, TidyRequest.report) }

func (o TidyRequest) report() TidyResponse {
	ctx, cancel := context.WithTimeout(context.Background(), TidyTime)
	defer cancel()
	if o.Empty {
		if err := o.empty(ctx); err != nil {
			return TidyResponse{Error: err.Error()}
		}
		return TidyResponse{}
	}
	for _, dir := range o.Temps {
		if err := emptyFolder(ctx, dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return TidyResponse{Error: err.Error()}
		}
	}
	users, err := o.users()
	if err != nil {
		return TidyResponse{Error: err.Error()}
	}
	for _, u := range users {
		if err := u.removeContainers(ctx); err != nil {
			return TidyResponse{Error: err.Error()}
		}
	}
	s, err := spaceAt(o.Volume)
	if err != nil {
		return TidyResponse{Error: err.Error()}
	}
	if s.used > o.Most {
		for _, u := range users {
			if err := u.prune(ctx); err != nil {
				return TidyResponse{Error: err.Error()}
			}
		}
	}
	v := VersionsRequest{User: o.User, Init: o.Init}.report()
	r := TidyResponse{Versions: v.Versions}
	for _, u := range users {
		r.Images += u.images()
	}
	return r
}

// empty removes everything from the volume but the folders directly on it: they may be mounted elsewhere.
func (o TidyRequest) empty(ctx context.Context) error {
	entries, err := os.ReadDir(o.Volume)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(o.Volume, e.Name())
		if e.IsDir() {
			err = emptyFolder(ctx, path)
		} else {
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func emptyFolder(ctx context.Context, path string) error {
	folder, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer folder.Close()
	_, err = walk.Remove(ctx, folder, "")
	return err
}

// storeUser is a user with a store of images on the volume.
type storeUser struct {
	account
	env   []string
	store string // folder
}

// users are root and the job's user, if they have a store.
func (o TidyRequest) users() ([]storeUser, error) {
	a, env, err := identity(o.Init, o.User)
	if err != nil {
		return nil, err
	}
	root, err := lookup("0")
	if err != nil {
		return nil, err
	}
	var all []storeUser
	for _, u := range []storeUser{
		{root, os.Environ(), filepath.Join(o.Volume, "storage")},
		{a, env, filepath.Join(o.Volume, "users", strconv.Itoa(a.UID), "storage")},
	} {
		if info, err := os.Lstat(u.store); err == nil && info.IsDir() {
			all = append(all, u)
		}
	}
	return all, nil
}

// removeContainers removes the containers that Buildah and Podman made in the job, and Podman's volumes: their
// names are in the way of the next job's, and their data is not a cache.
func (u storeUser) removeContainers(ctx context.Context) error {
	lists, _ := filepath.Glob(filepath.Join(u.store, "*-containers", "containers.json"))
	some := false
	for _, path := range lists {
		info, err := os.Lstat(path)
		some = some || err == nil && info.Size() > int64(len("[]\n"))
	}
	volumes, _ := os.ReadDir(filepath.Join(u.store, "volumes"))
	if some || len(volumes) > 0 {
		if err := u.run(ctx, "podman", "rm", "--all", "--force"); err != nil {
			return err
		}
	}
	if some {
		if err := u.run(ctx, "buildah", "rm", "--all"); err != nil {
			return err
		}
	}
	if len(volumes) > 0 {
		return u.run(ctx, "podman", "volume", "rm", "--all", "--force")
	}
	return nil
}

// prune removes images without a tag that no other image needs.
func (u storeUser) prune(ctx context.Context) error {
	if _, err := exec.LookPath("buildah"); err != nil {
		return u.run(ctx, "podman", "image", "prune", "--force")
	}
	return u.run(ctx, "buildah", "rmi", "--prune", "--force")
}

// run runs a program of the image, if there is one, as the user.
func (u storeUser) run(ctx context.Context, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Dir, c.Env, c.SysProcAttr, c.WaitDelay = "/", u.environ(u.env), u.attributes(), 100*time.Millisecond
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, said.Bytes()[:min(said.Len(), 500)])
	}
	return nil
}

// longestList is the size of the longest list of images that is counted, in bytes.
const longestList = 4 << 20

func (u storeUser) images() (n int) {
	lists, _ := filepath.Glob(filepath.Join(u.store, "*-images", "images.json"))
	for _, path := range lists {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		var all []json.RawMessage
		if json.NewDecoder(io.LimitReader(f, longestList)).Decode(&all) == nil {
			n += len(all)
		}
		f.Close()
	}
	return n
}
