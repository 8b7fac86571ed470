package executor

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/spec"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// tool is a container of ours in which an image's own tools fill a generation. It
// does nothing by itself: what it is told to do ends with this process.
type tool struct {
	*Executor
	ImageFill
	id string
}

// Where the container sees things. Credentials are below a place in memory.
const (
	toolNew  = "/gitlab-sysbox-executor/new"
	toolOld  = "/gitlab-sysbox-executor/old"
	toolRun  = "/gitlab-sysbox-executor/run"
	toolTemp = toolNew + "/.tmp"
)

func (x *Executor) startTool(ctx context.Context, f ImageFill, img engine.Image, old, made string) (*tool, error) {
	if err := x.makeToolFolder(); err != nil {
		return nil, fmt.Errorf("shared images: %w", err)
	}
	c := engine.Container{
		Name: made, Image: img.ID, Runtime: f.Runtime, User: "0:0", WorkingDir: "/",
		Entrypoint: agent.Command("init"), Cmd: []string{"{}"},
		Env: sysbox.Unset(append(slices.Clone(f.Environment),
			"STORAGE_OPTS=", "TMPDIR="+toolTemp, "BUILDAH_ISOLATION=chroot"), img.Env),
		Labels: job.ContainerLabels(map[string]string{job.LabelImages: x.Shared().ID(), job.LabelOwner: owner.Label()}),
		Mounts: []engine.Mount{
			{Kind: engine.Bind, Source: x.Shared().FillFolder(), Target: agent.Dir, ReadOnly: true},
			{Kind: engine.Volume, Source: made, Target: toolNew},
		},
		Tmpfs: map[string]string{toolRun: "mode=0700"},
		Names: spec.Names(f.Network),
	}
	c.Mounts = append(c.Mounts, spec.Mounts(f.Volumes, func(n int) string { return sharedVolume(Identity{}, n) })...) // none is a job's own
	if old != "" {
		c.Mounts = append(c.Mounts, engine.Mount{Kind: engine.Volume, Source: old, Target: toolOld, ReadOnly: true})
	}
	id, err := x.Engine.CreateContainer(ctx, c)
	if err != nil {
		return nil, x.Engine.ExplainRuntime(ctx, f.Runtime, err)
	}
	if err := x.Engine.StartContainer(ctx, id); err != nil {
		return nil, x.Engine.ExplainRuntime(ctx, f.Runtime, err)
	}
	return &tool{x, f, id}, nil
}

// run runs a script in the container, as root, with the words as its $1 and on.
func (t *tool) run(ctx context.Context, doing, script string, out io.Writer, words ...string) error {
	text := "set --"
	for _, w := range words {
		text += " " + quote(w)
	}
	f := job.Environment{Container: t.id, Shell: "/bin/sh", WorkingDir: "/"}
	_, err := t.runIn(ctx, f, Script{Stage: doing, Text: []byte("set -eu\numask 022\n" + text + "\n" + script)}, out)
	if ctx.Err() != nil {
		return fmt.Errorf("%s was stopped: %w", doing, context.Cause(ctx))
	}
	if failed, ok := errors.AsType[*ScriptError](err); ok {
		return &toolError{failed.Error()}
	}
	return err
}

// toolError tells that a tool ran and failed; what it wrote says why. It is no
// job's script that failed.
type toolError struct{ text string }

func (e *toolError) Error() string { return e.text }

// quote makes one word of a shell's of text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// toolFunctions define `store DRIVER COMMAND ...`, the tool with a store of the new
// generation.
const toolFunctions = `
tool=$(command -v buildah || command -v podman) ||
	{ echo "neither buildah nor podman is in this image: name another as images.tool_image"; exit 1; }
store() {
	driver=$1; shift
	STORAGE_DRIVER=$driver "$tool" --storage-driver "$driver" --root "` + toolNew + `/$driver/0" --runroot "` + toolRun + `/$driver" "$@"
}
`

const beginScript = `
chmod 755 ` + toolNew + `
if [ -d ` + toolOld + ` ]; then
	for driver; do
		[ ! -d "` + toolOld + `/$driver/0" ] || { mkdir -p "` + toolNew + `/$driver"; cp -a --reflink=auto "` + toolOld + `/$driver/0" "` + toolNew + `/$driver/"; }
	done
fi
mkdir -p ` + toolTemp + `
`

// Buildah pulls what is there already only when it is told so; podman knows no
// such option, and needs none. $1 driver, $2 reference, $3 credentials.
const pullScript = toolFunctions + `
set -- "$1" "$2" "$3" pull --quiet
case $tool in */buildah) set -- "$@" --policy always ;; esac
if [ -n "$3" ]; then
	(umask 077; printf '%s' "$3" >` + toolRun + `/auth.json)
	set -- "$@" --authfile ` + toolRun + `/auth.json
fi
driver=$1 reference=$2
shift 3
store "$driver" "$@" "$reference" || { code=$?; rm -f ` + toolRun + `/auth.json; exit $code; }
rm -f ` + toolRun + `/auth.json
`

// $1 driver, then the references that go.
const removeScript = toolFunctions + `
driver=$1; shift
for reference; do store "$driver" rmi --force "$reference"; done
`

// What no name leads to goes, others than root may look at the lists, and each
// user gets a copy that is readable by it. $1 driver, then users.
const finishScript = toolFunctions + `
driver=$1; shift
case $tool in
*/buildah) store "$driver" rmi --prune ;;
*) store "$driver" image prune --force ;;
esac
cd "` + toolNew + `/$driver"
chmod 755 . 0 0/"$driver"
chmod -R a+rX 0/"$driver"-images 0/"$driver"-layers
for user; do
	[ "$user" = 0 ] || { rm -rf "./$user"; cp -a --reflink=auto 0 "$user"; ` + agent.Path + ` agent shift "$PWD/$user" "$user"; }
done
`

// endScript has all on disk before anybody relies on it.
const endScript = `rm -rf ` + toolTemp + `; sync -f ` + toolNew + ` || sync`

const listScript = `cat "` + toolNew + `/$1/0/$1-$2/$2.json"`

// pullAll makes the images of the new generation, and says which it could not
// pull where the change goes on all the same.
func (t *tool) pullAll(ctx context.Context, current shared.Generation, c ImageChange, made *shared.Generation) (failed []string, err error) {
	if current.Volume != "" {
		t.Log.Infof("Copying generation %d ...", current.Number)
	}
	if err := t.run(ctx, "copying the store", beginScript, t.Out, t.Drivers...); err != nil {
		return nil, err
	}
	var gone []string
	for _, i := range current.Images {
		if slices.Contains(c.Remove, i.Reference) {
			gone = append(gone, i.Reference)
		}
	}
	for n, driver := range t.Drivers {
		pull := c.Pull
		if !slices.Contains(current.Drivers, driver) { // it has none of the others yet
			pull = slices.DeleteFunc(wantedImages(current, c), func(r string) bool { return slices.Contains(failed, r) })
		} else if len(gone) > 0 {
			if err := t.run(ctx, "removing images", removeScript, t.Out, append([]string{driver}, gone...)...); err != nil {
				return nil, err
			}
		}
		missing, err := t.pull(ctx, driver, pull, c.Keep)
		if err != nil && n > 0 && ctx.Err() == nil {
			t.Log.Warnf("Jobs with the storage driver %s get no shared images: %v", driver, err)
			if err := t.run(ctx, "removing a store", `rm -rf "`+toolNew+`/$1"`, t.Out, driver); err != nil {
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

func (t *tool) pull(ctx context.Context, driver string, references []string, keep bool) (failed []string, err error) {
	for _, r := range references {
		auth, err := t.auth(ctx, r)
		if err != nil {
			return nil, err
		}
		t.Log.Infof("Pulling %s (storage driver %s) ...", r, driver)
		err = t.run(ctx, "pulling "+r, pullScript, t.Out, driver, r, auth)
		_, refused := errors.AsType[*toolError](err)
		switch {
		case refused && keep && ctx.Err() == nil:
			t.Log.Warnf("%v", err)
			failed = append(failed, r)
		case err != nil:
			return nil, err
		}
	}
	return failed, nil
}

// auth is a file for the tools (containers-auth.json(5)) with what they need for
// one image; empty where they need nothing.
func (t *tool) auth(ctx context.Context, reference string) (string, error) {
	found, err := t.Credentials.Find(ctx, reference, t.Log)
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

// mostLists bounds each of the store's lists, in bytes: they hold what images say of
// themselves.
const mostLists = 16 << 20

// finish makes the store readable and learns what is in it.
func (t *tool) finish(ctx context.Context, want []string, made *shared.Generation) error {
	var users []string
	for _, u := range t.Users {
		users = append(users, strconv.Itoa(u))
	}
	for _, driver := range made.Drivers {
		if err := t.run(ctx, "finishing the store", finishScript, t.Out, append([]string{driver}, users...)...); err != nil {
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
	return t.run(ctx, "finishing the store", endScript, t.Out)
}
