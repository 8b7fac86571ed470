package sharedfill

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/storage"
)

// pullAll copies and pulls the images of the new generation. It returns the images that could not be
// pulled, if the change allows that.
func (t *fillContainer) pullAll(ctx context.Context, current shared.Generation, c Change, made *shared.Generation) (failed []string, err error) {
	if current.Volume != "" {
		t.log.Infof("Copying generation %d ...", current.Number)
	}
	if err := t.run(ctx, "copying the store", beginScript, t.how.Out, t.how.Drivers...); err != nil {
		return nil, err
	}
	var gone []string
	for _, i := range current.Images {
		if slices.Contains(c.Remove, i.Reference) {
			gone = append(gone, i.Reference)
		}
	}
	for n, driver := range t.how.Drivers {
		pull := c.Pull
		if !slices.Contains(current.Drivers, driver) { // the current generation does not have the others
			pull = slices.DeleteFunc(wanted(current, c), func(r string) bool { return slices.Contains(failed, r) })
		} else if len(gone) > 0 {
			if err := t.run(ctx, "removing images", removeScript, t.how.Out, append([]string{driver}, gone...)...); err != nil {
				return nil, err
			}
		}
		missing, err := t.pull(ctx, driver, pull, c.Keep)
		if err != nil && n > 0 && ctx.Err() == nil {
			t.log.Warnf("Jobs with the storage driver %s get no shared images: %v", driver, err)
			if err := t.run(ctx, "removing a store", `rm -rf "`+newDir+`/$1"`, t.how.Out, driver); err != nil {
				return nil, err
			}
			continue
		} else if err != nil {
			return nil, err
		}
		if n == 0 {
			failed = missing
		}
		made.Drivers = append(made.Drivers, driver)
	}
	return failed, nil
}

func (t *fillContainer) pull(ctx context.Context, driver string, references []string, keep bool) (failed []string, err error) {
	for _, r := range references {
		auth, err := t.auth(ctx, r)
		if err != nil {
			return nil, err
		}
		t.log.Infof("Pulling %s (storage driver %s) ...", r, driver)
		err = t.run(ctx, "pulling "+r, pullScript, t.how.Out, driver, r, auth)
		_, refused := errors.AsType[*toolError](err)
		switch {
		case refused && keep && ctx.Err() == nil:
			t.log.Warnf("%v", err)
			failed = append(failed, r)
		case err != nil:
			return nil, err
		}
	}
	return failed, nil
}

// auth is a file (containers-auth.json(5)) with the credentials for one image; empty if there are none.
func (t *fillContainer) auth(ctx context.Context, reference string) (string, error) {
	found, err := t.how.Credentials.Find(ctx, reference, t.log)
	if err != nil || found.Empty() {
		return "", err
	}
	type entry struct {
		Auth          string `json:"auth,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
	}
	e := entry{IdentityToken: found.IdentityToken}
	e.Auth = base64.StdEncoding.EncodeToString([]byte(cmp.Or(found.Username, "00000000-0000-0000-0000-000000000000") + ":" + found.Password))
	text, err := json.Marshal(map[string]map[string]entry{"auths": {image.Repository(reference): e}})
	return string(text), err
}

// mostLists limits each of the store's lists, in bytes: they contain text of the images' authors.
const mostLists = 16 << 20

// finish makes the store readable and reads its lists of images.
func (t *fillContainer) finish(ctx context.Context, want []string, made *shared.Generation) error {
	var users []string
	for _, u := range t.how.Users {
		users = append(users, strconv.Itoa(u))
	}
	for _, driver := range made.Drivers {
		if err := t.run(ctx, "finishing the store", finishScript, t.how.Out, append([]string{driver}, users...)...); err != nil {
			return err
		}
	}
	driver := made.Drivers[0]
	lists := [2]agentclient.Limited{{Most: mostLists}, {Most: mostLists}}
	for n, list := range []string{"images", "layers"} {
		if err := t.run(ctx, "listing images", listScript, &lists[n], driver, list); err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(lists[n].String()))
		}
	}
	var err error
	if made.Images, err = storage.ReadImages(lists[0].Bytes(), lists[1].Bytes(), want); err != nil {
		return err
	}
	return t.run(ctx, "finishing the store", endScript, t.how.Out)
}
