package executor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// ImageFill is how the store of shared images is filled.
type ImageFill struct {
	Tool        image.Request // image of the container with buildah or podman
	Runtime     string        // jobs', so that owners fit theirs
	Drivers     []string      // storage drivers that jobs use: the first has to work
	Users       []int         // for whom the images are readable; root is the first
	Environment []string      // NAME=value
	Volumes     []string      // as config.ParseVolume takes them
	Network     config.Network
	Credentials image.Sources
	// Out is where the tools' output goes.
	Out io.Writer
}

// ImageChange is what becomes of the store: Pull and Remove hold whole references
// (image.Whole).
type ImageChange struct {
	Pull, Remove []string
	// Refresh pulls what is in the store, too, when it is this change's turn.
	Refresh bool
	// Keep goes on without an image of Pull that cannot be pulled: the store keeps
	// the one that it has.
	Keep bool
}

// ChangeImages makes a new generation from the current one and makes it the
// current one, all or nothing. Jobs that run keep the one that they have. One
// change is made at a time. What an interrupted one leaves is removed by the next,
// or by GC. With Keep it may have done its work and return an error all the same.
func (x *Executor) ChangeImages(ctx context.Context, f ImageFill, c ImageChange) error {
	unlock, err := x.lockImages(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := x.removeTools(ctx); err != nil {
		return err
	}
	if _, err := x.dropOldImages(ctx); err != nil {
		return err
	}
	current, err := x.CurrentImages()
	if err != nil {
		return err
	}
	want := wantedImages(current, c)
	if c.Refresh {
		c.Pull = want
	}
	if len(want) == 0 {
		if err := x.setCurrentImages(Generation{}); err != nil {
			return err
		}
		_, err := x.dropOldImages(ctx)
		return err
	}
	if current.Volume != "" {
		if err := x.hasGeneration(ctx, current.Volume); err != nil {
			x.Log.Warnf("Shared images: %v", err)
			if err := x.forgetGeneration(current.Volume); err != nil {
				return err
			}
			current, c.Pull = Generation{}, want // all over again
		}
	}
	if err := x.settleImagesID(current); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	if err = x.fill(ctx, f, c, current, want); ctx.Err() != nil {
		return err
	}
	_, old := x.dropOldImages(ctx)
	return errors.Join(err, old)
}

// wantedImages are the references that there are to be after a change.
func wantedImages(current Generation, c ImageChange) []string {
	var want []string
	for _, i := range current.Images {
		want = append(want, i.Reference)
	}
	want = slices.DeleteFunc(append(want, c.Pull...), func(r string) bool { return slices.Contains(c.Remove, r) })
	slices.Sort(want)
	return slices.Compact(want)
}

// lockImages waits until no other change is at work.
func (x *Executor) lockImages(ctx context.Context) (unlock func(), err error) {
	for told := false; ; told = true {
		unlock, ok, err := x.state().TryLockImages()
		if err != nil {
			return nil, fmt.Errorf("shared images: %w", err)
		} else if ok {
			return unlock, nil
		}
		if !told {
			x.Log.Info("Another `images` command is at work; waiting for its end.")
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another `images` command: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// toolFolder is what the container that fills a generation sees of the host.
func (x *Executor) toolFolder() string { return filepath.Join(x.state().Images(), "tool") }

// isTool tells whether a container with our label fills a generation, and is neither a
// job's nor anybody else's, whose image has the label.
func (x *Executor) isTool(c engine.Found) bool {
	return c.Labels[job.LabelName] == "" && x.generationNumber(c.Name) != 0
}

// makeToolFolder makes it anew; removeTools has removed the last one.
func (x *Executor) makeToolFolder() error {
	dir, err := containerdir.Make(x.toolFolder())
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.CopyProgram(containerdir.Self, agentFile)
}

// removeTools removes a container that fills a generation, and its folder. The
// lock is held.
func (x *Executor) removeTools(ctx context.Context) error {
	found, err := x.Engine.FindContainers(ctx, job.LabelImages, x.imagesID())
	if err != nil {
		return err
	}
	for _, c := range found {
		if !x.isTool(c) {
			continue
		}
		if err := x.Engine.RemoveContainer(ctx, c.ID); err != nil && !engine.IsNotFound(err) && !engine.IsBusy(err) {
			return err
		}
	}
	if err := os.RemoveAll(x.toolFolder()); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// fill makes the next generation and the current one of it. Where nothing has
// changed it leaves things as they are, and with an error, too, except for images
// that c.Keep goes on without.
func (x *Executor) fill(ctx context.Context, f ImageFill, c ImageChange, current Generation, want []string) (err error) {
	img, err := image.Get(ctx, x.Engine, f.Tool, x.Log)
	if err != nil {
		return fault.Systemf("images.tool_image: %w", err)
	}
	made, err := x.nextGeneration(ctx, current)
	if err != nil {
		return err
	}
	made.Users = f.Users
	use, err := x.state().Hold(made.Volume, true)
	if err != nil {
		return err
	} else if use == nil {
		return fmt.Errorf("somebody else holds the new volume %s", made.Volume)
	}
	adopted := false
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.CleanupTimeout)
		defer cancel()
		err = errors.Join(err, x.removeTools(late))
		if !adopted {
			_, gone := x.Kept().RemoveHeld(late, made.Volume)
			err = errors.Join(err, gone)
		}
		use.Release()
	}()
	if err := x.Engine.CreateVolume(ctx, made.Volume, nil, map[string]string{job.LabelImages: x.imagesID()}); err != nil {
		return err
	}
	t, err := x.startTool(ctx, f, img, current.Volume, made.Volume)
	if err != nil {
		return err
	}
	failed, err := t.pullAll(ctx, current, c, &made)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		err = fmt.Errorf("not pulled: %s; the store keeps what it had of them", strings.Join(failed, ", "))
		want = slices.DeleteFunc(want, func(r string) bool { return slices.Contains(failed, r) && !current.has(r) })
	}
	if len(want) == 0 {
		return err
	}
	if finished := t.finish(ctx, want, &made); finished != nil {
		return errors.Join(err, finished)
	}
	if made.same(current) {
		x.Log.Infof("Nothing has changed: generation %d stays.", current.Number)
		return err
	}
	if set := x.setCurrentImages(made); set != nil {
		return errors.Join(err, set)
	}
	adopted = true
	x.Log.Infof("Generation %d: %d images.", made.Number, len(made.Images))
	return err
}

// nextGeneration has a number that none has of which there are traces.
func (x *Executor) nextGeneration(ctx context.Context, current Generation) (Generation, error) {
	next := Generation{Number: current.Number + 1, Made: time.Now().UTC().Round(time.Second)}
	all, err := x.generations(ctx)
	if err != nil {
		return next, err
	}
	for _, v := range all {
		next.Number = max(next.Number, x.generationNumber(v)+1)
	}
	next.Volume = x.generationVolume(next.Number)
	return next, nil
}

func (g Generation) has(reference string) bool {
	return slices.ContainsFunc(g.Images, func(i storage.StoredImage) bool { return i.Reference == reference })
}

// same tells whether jobs would see the same.
func (g Generation) same(as Generation) bool {
	return slices.Equal(g.Images, as.Images) && slices.Equal(g.Drivers, as.Drivers) && slices.Equal(g.Users, as.Users)
}

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
		Labels: job.ContainerLabels(map[string]string{job.LabelImages: x.imagesID(), job.LabelOwner: owner()}),
		Mounts: []engine.Mount{
			{Kind: engine.Bind, Source: x.toolFolder(), Target: agent.Dir, ReadOnly: true},
			{Kind: engine.Volume, Source: made, Target: toolNew},
		},
		Tmpfs: map[string]string{toolRun: "mode=0700"},
		Names: names(f.Network),
	}
	c.Mounts = append(c.Mounts, configuredMounts(f.Volumes, Identity{})...) // none is a job's own
	if old != "" {
		c.Mounts = append(c.Mounts, engine.Mount{Kind: engine.Volume, Source: old, Target: toolOld, ReadOnly: true})
	}
	id, err := x.Engine.CreateContainer(ctx, c)
	if err != nil {
		return nil, x.explain(ctx, f.Runtime, err)
	}
	if err := x.Engine.StartContainer(ctx, id); err != nil {
		return nil, x.explain(ctx, f.Runtime, err)
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
func (t *tool) pullAll(ctx context.Context, current Generation, c ImageChange, made *Generation) (failed []string, err error) {
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

// finish makes the store readable and learns what is in it.
func (t *tool) finish(ctx context.Context, want []string, made *Generation) error {
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
	var lists [2]bytes.Buffer
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
