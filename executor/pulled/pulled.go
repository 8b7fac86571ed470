// Package pulled remembers which of the engine's images jobs have pulled, and when
// they were used last. An image that was there before, or that somebody else gave a
// name to, is not ours to remove.
//
// Each such image has a file below the state folder (statedir.Dir.PulledImage). Whoever
// is about to make a container of the image holds its lock with others, whoever removes
// the image holds it alone. A pull that has begun has a file, too: where its process
// dies before it can note what came of it, the next gc does so.
package pulled

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imagepull"
	"gitlab-sysbox-executor/executor/statedir"
)

// Images is what is needed of an engine.
type Images interface {
	imagepull.Store
	ImageNames(ctx context.Context, ref, platform string) (engine.NamedImage, error)
	ImageIDs(ctx context.Context) ([]string, error)
	ImageUsed(ctx context.Context, id string) (bool, error)
	RemoveImage(ctx context.Context, name string) error
}

// Store is what jobs with one state folder pulled. Its methods may be called
// concurrently, also by several processes.
type Store struct {
	State  statedir.Dir
	Engine Images
	// Keep is how long an image is kept after its last use; for ever where it is not
	// positive.
	Keep time.Duration
	Log  logrus.FieldLogger
}

// Image is an image that a job pulled.
type Image struct {
	ID         string
	References []string // the names by which jobs pulled it, in full
	LastUse    time.Time
}

// record is what the file of an image holds.
type record struct {
	References []string `json:"references"`
	// Many says that jobs pulled it by more names than are remembered: any name that it
	// has may be one of them.
	Many bool `json:"many,omitempty"`
}

const (
	mostReferences = 100
	longestRecord  = 1 << 17 // more than so many of the longest references
)

// number is an image's ID as the name of a file; empty for what is no ID.
func number(id string) string {
	n, ok := strings.CutPrefix(id, "sha256:")
	if !ok || len(n) != 64 || strings.Trim(n, "0123456789abcdef") != "" {
		return ""
	}
	return n
}

// tries is how often an image is got again when it is removed before it is held: by gc,
// or by somebody else.
const tries = 3

// All is [image.All] for images that nobody else of this state folder removes until
// release is called; from then on containers have to keep them.
func (s *Store) All(ctx context.Context, requests []image.Request) (images []engine.Image, release func(), err error) {
	for range tries {
		if images, err = imagepull.All(ctx, recorder{Store: s.Engine, pulled: s}, requests, s.Log); err != nil {
			return nil, nil, err
		}
		var there bool
		if release, there, err = s.hold(ctx, images); there || err != nil {
			return images, release, err
		}
	}
	return nil, nil, errors.New("an image was removed from this machine again and again before the job could use it: is something else removing unused images?")
}

// Get is All for one image.
func (s *Store) Get(ctx context.Context, r image.Request) (engine.Image, func(), error) {
	images, release, err := s.All(ctx, []image.Request{r})
	if err != nil {
		return engine.Image{}, nil, err
	}
	return images[0], release, nil
}

// hold holds those of the images that jobs pulled, and notes their use; false when one
// of them is gone.
func (s *Store) hold(ctx context.Context, images []engine.Image) (release func(), there bool, err error) {
	var holds []*statedir.Hold
	release = func() {
		for _, h := range holds {
			h.Release()
		}
	}
	defer func() {
		if !there {
			release()
		}
	}()
	for _, img := range images {
		n := number(img.ID)
		if n == "" {
			continue
		}
		if _, err := os.Stat(s.State.PulledImage(n)); errors.Is(err, fs.ErrNotExist) {
			continue // not ours
		}
		h, err := s.State.HoldImage(n, false)
		if h == nil || err != nil {
			return release, false, err
		}
		holds = append(holds, h)
		now := time.Now()
		if err := os.Chtimes(s.State.PulledImage(n), now, now); err != nil {
			return release, false, fmt.Errorf("pulled image %.12s: %w", n, err)
		}
		if _, err := s.Engine.ImageNames(ctx, img.ID, ""); engine.IsNotFound(err) {
			return release, false, nil
		} else if err != nil {
			return release, false, err
		}
	}
	return release, true, nil
}

// List lists the images, as they are noted.
func (s *Store) List() ([]Image, error) {
	entries, err := os.ReadDir(s.State.Pulled())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pulled images: %w", err)
	}
	var all []Image
	for _, e := range entries {
		id := "sha256:" + e.Name()
		if number(id) == "" {
			continue // a pull that has begun
		}
		last, err := statedir.LastUse(s.State.PulledImage(e.Name()))
		if err != nil {
			continue // it has gone
		}
		all = append(all, Image{ID: id, References: s.record(e.Name()).References, LastUse: last})
	}
	slices.SortFunc(all, func(a, b Image) int { return a.LastUse.Compare(b.LastUse) })
	return all, nil
}

func (s *Store) record(n string) (r record) {
	f, err := os.Open(s.State.PulledImage(n))
	if err != nil {
		return r
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestRecord))
	if err != nil || json.Unmarshal(text, &r) != nil {
		return record{}
	}
	return r
}

// add notes that a job pulled the image by that name. One that is not noted yet is
// noted only where ours.
func (s *Store) add(ctx context.Context, id, ref string, ours bool) error {
	n := number(id)
	whole, err := image.Whole(ref)
	if err == nil && n == "" {
		err = fmt.Errorf("the engine gave it the ID %.100q", id)
	}
	if err != nil {
		return fmt.Errorf("noting that image %.100q was pulled: %w", ref, err)
	}
	unlock, err := s.State.LockPulled(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(s.State.PulledImage(n)); errors.Is(err, fs.ErrNotExist) && !ours {
		return nil
	}
	// Beside the removal of an image of that ID it becomes another file.
	h, err := s.State.HoldImage(n, false)
	for ; h == nil && err == nil; h, err = s.State.HoldImage(n, false) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err != nil {
		return err
	}
	defer h.Release()
	r := s.record(n)
	switch {
	case slices.Contains(r.References, whole):
	case len(r.References) < mostReferences:
		r.References = append(r.References, whole)
	default:
		r.Many = true
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return statedir.Overwrite(s.State.PulledImage(n), text, time.Now())
}

// foreign is a name of the image that no job pulled it by; empty when there is none.
func (r record) foreign(img engine.NamedImage) string {
	if r.Many {
		return ""
	}
	repositories := map[string]bool{}
	for _, ref := range r.References {
		repositories[image.Repository(ref)] = true
	}
	for _, tag := range img.Tags {
		if whole, err := image.Whole(tag); err != nil || !slices.Contains(r.References, whole) {
			return tag
		}
	}
	for _, d := range img.Digests {
		if !repositories[image.Repository(d)] {
			return d
		}
	}
	return ""
}
