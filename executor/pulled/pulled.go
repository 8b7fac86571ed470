// Package pulled records which of the engine's images jobs have pulled, and their last use. It does
// not remove an image that was there before, or that has a name from another user.
//
// Each such image has a file in the state folder (statedir.Dir.PulledImage). A process takes a
// shared lock on it before it makes a container of the image, and an exclusive lock before it
// removes the image. A pull that has begun has a file, too: if its process dies before it has
// recorded the result, the next gc records it.
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

// Images is the part of an engine that this package needs.
type Images interface {
	imagepull.Store
	ImageNames(ctx context.Context, ref, platform string) (engine.NamedImage, error)
	ImageIDs(ctx context.Context) ([]string, error)
	ImageUsed(ctx context.Context, id string) (bool, error)
	RemoveImage(ctx context.Context, name string) error
}

// Store manages the images that jobs with one state folder pulled. Its methods are safe for
// concurrent use, also by several processes.
type Store struct {
	State  statedir.Dir
	Engine Images
	// Keep is how long an image is kept after its last use; there is no limit if it is not
	// positive.
	Keep time.Duration
	// Meter shows the progress of pulls; nil for lines in the log.
	Meter imagepull.Meter
	Log   logrus.FieldLogger
}

// Image is an image that a job pulled.
type Image struct {
	ID         string
	References []string // full names by which jobs pulled it
	LastUse    time.Time
}

// record is the content of an image's file.
type record struct {
	References []string `json:"references"`
	// Many is true if jobs pulled the image by more names than are recorded. Then each of its
	// names may be one of them.
	Many bool `json:"many,omitempty"`
}

const (
	mostReferences = 100
	longestRecord  = 1 << 17 // larger than a record with the most and longest references
)

// number is the hash in an image ID, used as a file name; empty if id is not an ID.
func number(id string) string {
	n, ok := strings.CutPrefix(id, "sha256:")
	if !ok || len(n) != 64 || strings.Trim(n, "0123456789abcdef") != "" {
		return ""
	}
	return n
}

// tries limits the attempts to get an image. gc or another program may remove it before this
// process holds it.
const tries = 3

// All is [imagepull.All] for images that no process with this state folder removes until release
// is called. From then on, containers have to keep them.
func (s *Store) All(ctx context.Context, requests []image.Request) (images []engine.Image, release func(), err error) {
	for range tries {
		if images, err = imagepull.All(ctx, recorder{Store: s.Engine, pulled: s}, requests, s.Log, s.Meter); err != nil {
			return nil, nil, err
		}
		var there bool
		if release, there, err = s.hold(ctx, images); there || err != nil {
			return images, release, err
		}
	}
	return nil, nil, errors.New("an image was repeatedly removed from this machine before the job could use it: check whether another program removes unused images")
}

// Get is All for one image.
func (s *Store) Get(ctx context.Context, r image.Request) (engine.Image, func(), error) {
	images, release, err := s.All(ctx, []image.Request{r})
	if err != nil {
		return engine.Image{}, nil, err
	}
	return images[0], release, nil
}

// hold locks the files of those images that jobs pulled, and records their use. It returns false
// if one of the images is gone.
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
			continue // no job pulled it
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

// List lists the recorded images.
func (s *Store) List() ([]Image, error) {
	entries, err := os.ReadDir(s.State.Pulled())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("pulled images: %w", err)
	}
	var all []Image
	for _, e := range entries {
		id := "sha256:" + e.Name()
		if number(id) == "" {
			continue // the file of a pull
		}
		last, err := statedir.LastUse(s.State.PulledImage(e.Name()))
		if err != nil {
			continue // the file was removed
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

// add records that a job pulled the image by that name. An image without a record gets one only if
// ours is set, or if another job's pull has just brought it.
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
		if ours, err = s.brought(ctx, id); !ours {
			return err
		}
	}
	// If an image with this ID is being removed, the record becomes another file.
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

// foreign returns a name of the image by which no job pulled it; empty if there is none.
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
