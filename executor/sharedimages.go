package executor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/storage"
)

// The images that all jobs share lie on a volume of the engine's that no job can
// write to. It is never changed once jobs see it: what changes makes another, the
// next generation, and the old one goes with the last job that has it.
//
// A file below the state folder names the current generation. Each has a file
// for its lock, as a volume that is kept has: whoever fills a generation holds it
// alone, a prepare holds it with others until the job's containers show that it
// is in use, and it is removed by whoever gets it alone while it is not the
// current one and no container has it. So there is nothing to be written down
// that a crash could leave wrong.

// Generation is one state of the store.
type Generation struct {
	Number  int                   `json:"generation"`
	Volume  string                `json:"volume"`
	Drivers []string              `json:"drivers"`
	Users   []int                 `json:"users"` // root is one of them
	Images  []storage.StoredImage `json:"images"`
	Made    time.Time             `json:"made"`
}

// stores are those that a container sees of it.
func (g Generation) stores() storage.Stores {
	return storage.Stores{Drivers: g.Drivers, Users: g.Users}
}

// storeOf is where a container sees the images for a user as an image or a job names
// it, which is known only where it is root or a number; empty where there are none.
func (g Generation) storeOf(driver, user string) string {
	if job.IsRoot(user) {
		return g.stores().For(driver, 0)
	}
	name, _, _ := strings.Cut(user, ":")
	if uid, err := strconv.Atoi(name); err == nil {
		return g.stores().For(driver, uid)
	}
	return ""
}

func (x *Executor) imagesFile() string { return filepath.Join(x.state().Images(), "current.json") }

// imagesID tells the generations of this state folder from another's on the engine.
func (x *Executor) imagesID() string {
	if id := x.state().ImagesID(); id != "" {
		return id
	}
	return x.pathID()
}

// pathID is what versions before went by. Of two executors in containers with the same
// path each dropped the other's generations.
func (x *Executor) pathID() string {
	sum := sha256.Sum256([]byte(x.StateDir))
	return hex.EncodeToString(sum[:4])
}

// settleImagesID gives the state folder a number of its own where it has none yet, and
// nothing is there any more that goes by the path's. The images' lock is held.
func (x *Executor) settleImagesID(current Generation) error {
	if x.state().ImagesID() != "" || current.Volume != "" {
		return nil
	}
	// Our own generations have a lock here, those of another executor with the same path
	// have not.
	for _, path := range x.generationLocks() {
		if x.generationNumber(filepath.Base(path)) != 0 {
			return nil
		}
	}
	return x.state().MakeImagesID()
}

func (x *Executor) generationVolume(number int) string { return generation(x.imagesID(), number) }

func generation(id string, number int) string { return fmt.Sprintf("gsx-images-%s-%d", id, number) }

// generationNumber is 0 for what is no generation of ours.
func (x *Executor) generationNumber(volume string) int { return numberOf(volume, x.imagesID()) }

func numberOf(volume, id string) int {
	text, ok := strings.CutPrefix(volume, "gsx-images-"+id+"-")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || generation(id, n) != volume {
		return 0
	}
	return n
}

// CurrentImages is what jobs see now: the zero Generation where there is nothing.
func (x *Executor) CurrentImages() (g Generation, err error) {
	text, err := os.ReadFile(x.imagesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	} else if err != nil {
		return g, fmt.Errorf("shared images: %w", err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return Generation{}, fmt.Errorf("shared images: %s: %w", x.imagesFile(), err)
	}
	if x.generationNumber(g.Volume) == 0 && numberOf(g.Volume, x.pathID()) == 0 {
		return Generation{}, fmt.Errorf("shared images: %s names the volume %q, which is none of this state folder's; remove the file and fill the store again", x.imagesFile(), g.Volume)
	}
	return g, nil
}

// setCurrentImages makes jobs see g from now on; nothing where it has no images.
func (x *Executor) setCurrentImages(g Generation) error {
	if len(g.Images) == 0 {
		if err := os.Remove(x.imagesFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("shared images: %w", err)
		}
		return nil
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(x.imagesFile(), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("shared images: %w", err)
	}
	return nil
}

// imagesTime is how long a prepare waits for the images that all jobs share.
var imagesTime = time.Minute

// takeImages gives the current generation to a job that wants it. Until release
// is called nobody removes it; from then on the job's containers show that it is
// in use. A store that cannot be had keeps no job from running.
func (x *Executor) takeImages(ctx context.Context, p plan) (g Generation, release func()) {
	release = func() {}
	if !p.SharedImages {
		return Generation{}, release
	}
	ctx, cancel := context.WithTimeoutCause(ctx, imagesTime, fmt.Errorf("another process has held them for %s", imagesTime))
	defer cancel()
	g, use, err := x.holdImages(ctx)
	if err != nil {
		x.Log.Warnf("The job does not see the images that all jobs share: %v", err)
		return Generation{}, release
	}
	if use == nil {
		return Generation{}, release
	}
	return g, use.Release
}

// sayImages says which images the job's tools find.
func (x *Executor) sayImages(p plan, s storage.Settings, uid int) {
	switch {
	case p.images.Volume == "":
	case s.ImageStore == "":
		x.Log.Infof("The images that all jobs share are not kept for user %d with the storage driver %s (images.users).", uid, s.Driver)
	default:
		x.Log.Infof("Shared images: generation %d, %d images.", p.images.Number, len(p.images.Images))
	}
}

// holdImages holds the current generation; nil where there is none.
func (x *Executor) holdImages(ctx context.Context) (Generation, *statedir.Hold, error) {
	for {
		g, err := x.CurrentImages()
		if err != nil || g.Volume == "" {
			return Generation{}, nil, err
		}
		use, err := x.state().Hold(g.Volume, false)
		if err != nil {
			return Generation{}, nil, err
		}
		now, err := x.CurrentImages()
		if use != nil && err == nil && now.Volume == g.Volume {
			if err := x.hasGeneration(ctx, g.Volume); err != nil {
				use.Release()
				return Generation{}, nil, err
			}
			return now, use, nil
		}
		if use != nil { // it has been replaced meanwhile
			use.Release()
			if _, err := x.dropGeneration(ctx, g.Volume); err != nil {
				x.Log.Debugf("%v", err) // gc takes it up
			}
		}
		if err != nil {
			return Generation{}, nil, err
		}
		select {
		case <-ctx.Done():
			return Generation{}, nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hasGeneration is an error where the engine lacks the volume: it would make an
// empty one of that name.
func (x *Executor) hasGeneration(ctx context.Context, volume string) error {
	found, err := x.Engine.FindVolumes(ctx, job.LabelImages, x.imagesID())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(f engine.Found) bool { return f.Name == volume }) {
		return fmt.Errorf("the engine at %s has no volume %s any more: `images refresh` makes it anew", x.Engine.Host(), volume)
	}
	return nil
}

// generations are all of this state folder's that there are traces of, by their
// volumes' names.
func (x *Executor) generations(ctx context.Context) ([]string, error) {
	found, err := x.Engine.FindVolumes(ctx, job.LabelImages, x.imagesID())
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range found {
		all = append(all, f.Name)
	}
	for _, path := range x.generationLocks() {
		all = append(all, filepath.Base(path))
	}
	all = slices.DeleteFunc(all, func(v string) bool { return x.generationNumber(v) == 0 })
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(x.generationNumber(a), x.generationNumber(b)) })
	return slices.Compact(all), nil
}

// forgetGeneration forgets one that the engine lacks.
func (x *Executor) forgetGeneration(volume string) error {
	use, err := x.state().Hold(volume, true)
	if use == nil || err != nil {
		return err
	}
	defer use.Release()
	return os.Remove(x.state().Kept(volume))
}

// generationLocks are the files in this state folder of what may be generations.
func (x *Executor) generationLocks() []string {
	all, _ := filepath.Glob(x.state().Kept("gsx-images-*")) // the pattern is a good one
	return all
}

// dropGeneration removes a generation, or returns false: it is the current one,
// somebody fills it, or a job has or is about to get it.
func (x *Executor) dropGeneration(ctx context.Context, volume string) (bool, error) {
	use, err := x.state().Hold(volume, true)
	if use == nil || err != nil {
		return false, err
	}
	defer use.Release()
	// Under the lock: whoever filled it may just have made it the current one.
	if g, err := x.CurrentImages(); err != nil || g.Volume == volume {
		return false, err
	}
	return x.Kept().RemoveHeld(ctx, volume)
}

// dropOldImages removes what no job needs any more, and names it.
func (x *Executor) dropOldImages(ctx context.Context) (dropped []string, err error) {
	if !exists(x.state().Images()) {
		return nil, nil
	}
	current, err := x.CurrentImages()
	if err != nil {
		return nil, err
	}
	all, err := x.generations(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, v := range all {
		if v == current.Volume {
			continue
		}
		gone, err := x.dropGeneration(ctx, v)
		if gone {
			dropped = append(dropped, v)
		}
		errs = append(errs, err)
	}
	return dropped, errors.Join(errs...)
}

// collectImages is gc's part: what a killed `images` left, and old generations.
func (x *Executor) collectImages(ctx context.Context, o GCOptions) ([]Collected, error) {
	if !exists(x.state().Images()) {
		return nil, nil
	}
	unlock, idle, err := x.state().TryLockImages()
	if err != nil {
		return nil, fmt.Errorf("shared images: %w", err)
	}
	if idle {
		defer unlock()
	}
	if o.DryRun {
		return x.oldImages(ctx, !idle)
	}
	if idle {
		if err := x.removeTools(ctx); err != nil {
			return nil, err
		}
	}
	dropped, err := x.dropOldImages(ctx)
	var all []Collected
	for _, v := range dropped {
		all = append(all, Collected{Name: v, Action: Removed, Reason: oldImagesReason})
	}
	return all, err
}

const oldImagesReason = "shared images that are not the current ones, and no job has them"

// oldImages is what a dry run tells. While somebody fills a generation, that is
// the last one.
func (x *Executor) oldImages(ctx context.Context, filling bool) ([]Collected, error) {
	listed, err := x.ListImages(ctx)
	var all []Collected
	for n, g := range listed.Generations {
		if !g.Current && len(g.Jobs) == 0 && !(filling && n == len(listed.Generations)-1) {
			all = append(all, Collected{Name: g.Volume, Action: WouldRemove, Reason: oldImagesReason})
		}
	}
	return all, err
}

// ImageList is what there is of shared images.
type ImageList struct {
	Images      []storage.StoredImage `json:"images"`
	Generations []GenerationUse       `json:"generations"`
}

// GenerationUse tells who uses a generation.
type GenerationUse struct {
	Number  int      `json:"generation"`
	Volume  string   `json:"volume"`
	Current bool     `json:"current"`
	Jobs    []string `json:"jobs"` // by the names of their resources
}

// ListImages lists the images that jobs see, and which jobs have which generation.
func (x *Executor) ListImages(ctx context.Context) (ImageList, error) {
	l := ImageList{Images: []storage.StoredImage{}, Generations: []GenerationUse{}}
	current, err := x.CurrentImages()
	if err != nil {
		return l, err
	}
	l.Images = append(l.Images, current.Images...)
	all, err := x.generations(ctx)
	if err != nil {
		return l, err
	}
	for _, v := range all {
		users, err := x.Engine.VolumeUsers(ctx, v)
		if err != nil {
			return l, err
		}
		g := GenerationUse{Number: x.generationNumber(v), Volume: v, Current: v == current.Volume, Jobs: []string{}}
		for _, u := range users {
			if name := u.Labels[job.LabelName]; belongs(u, name) && !slices.Contains(g.Jobs, name) {
				g.Jobs = append(g.Jobs, name)
			}
		}
		slices.Sort(g.Jobs)
		l.Generations = append(l.Generations, g)
	}
	return l, nil
}
