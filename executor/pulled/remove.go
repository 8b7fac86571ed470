package pulled

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/statedir"
)

// Removal is the result of removing an image.
type Removal struct {
	Gone bool   // or would be, in a dry run
	Why  string // the reason why it was not removed
	Size int64  // bytes, including layers shared with other images
}

// Remove removes a listed image and its record. It keeps the image if a container uses it, if a job
// is about to use it or has used it since it was listed, or if it has a name from another user.
// With dryRun it removes nothing.
func (s *Store) Remove(ctx context.Context, i Image, dryRun bool) (r Removal, err error) {
	n := number(i.ID)
	h, err := s.State.HoldImage(n, true)
	if err != nil {
		return r, err
	} else if h == nil {
		return Removal{Why: "a job is about to use it"}, nil
	}
	defer h.Release()
	if last, err := statedir.LastUse(s.State.PulledImage(n)); err != nil {
		return r, err
	} else if last.After(i.LastUse) {
		return Removal{Why: "a job has just used it"}, nil
	}
	img, err := s.Engine.ImageNames(ctx, i.ID, "")
	switch {
	case engine.IsNotFound(err) && dryRun:
		return Removal{Gone: true}, nil
	case engine.IsNotFound(err):
		return Removal{Gone: true}, s.forget(n)
	case err != nil:
		return r, err
	}
	noted := s.record(n)
	if len(noted.References) == 0 { // the file was locked just after the image was removed
		return Removal{Why: "no job pulled it"}, s.forget(n)
	}
	r.Size = img.Size
	used, err := s.Engine.ImageUsed(ctx, i.ID)
	if err != nil {
		return r, err
	}
	switch foreign := noted.foreign(img); {
	case used:
		r.Why = "a container uses it"
		return r, nil
	case foreign != "":
		r.Why = fmt.Sprintf("it has the name %.300s, by which no job pulled it", foreign)
		return r, nil
	case dryRun:
		r.Gone = true
		return r, nil
	}
	if err := s.removeNames(ctx, i.ID, noted); engine.IsConflict(err) {
		r.Why = err.Error()
		return r, nil
	} else if err != nil {
		return r, err
	}
	r.Gone = true
	return r, s.forget(n)
}

// removeNames removes all names of an image; then the engine removes the image. By ID an engine only
// removes an image with one name. That is safe even if a job's pull gives this name to another image
// at the same time.
func (s *Store) removeNames(ctx context.Context, id string, noted record) error {
	for last := ""; ; {
		img, err := s.Engine.ImageNames(ctx, id, "")
		if engine.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		if noted.foreign(img) != "" {
			return nil // it got a new name in the meantime and stays
		}
		name := next(img)
		if name == last {
			return fmt.Errorf("image %s is still there after its name %s was removed", id, name)
		}
		if err := s.Engine.RemoveImage(ctx, name); err != nil && !engine.IsNotFound(err) {
			return err
		}
		last = name
	}
}

// next is the next name to remove: the ID if there is at most one name.
func next(img engine.NamedImage) string {
	if len(img.Tags) > 1 {
		return img.Tags[0]
	}
	var repositories []string
	for _, name := range slices.Concat(img.Tags, img.Digests) {
		if r := image.Repository(name); !slices.Contains(repositories, r) {
			repositories = append(repositories, r)
		}
	}
	if len(repositories) > 1 {
		return slices.Concat(img.Digests, img.Tags)[0]
	}
	return img.ID
}

// forget removes the file of an image.
func (s *Store) forget(n string) error {
	if err := os.Remove(s.State.PulledImage(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pulled image %.12s: %w", n, err)
	}
	return nil
}

// Forget removes the files of images that the engine no longer has, and returns the other images.
func (s *Store) Forget(ctx context.Context, images []Image) ([]Image, error) {
	if len(images) == 0 {
		return nil, nil
	}
	ids, err := s.Engine.ImageIDs(ctx)
	if err != nil {
		return images, err
	}
	var rest []Image
	for _, i := range images {
		if slices.Contains(ids, i.ID) {
			rest = append(rest, i)
		} else if err := s.forgetGone(ctx, i); err != nil {
			return images, err
		}
	}
	return rest, nil
}

func (s *Store) forgetGone(ctx context.Context, i Image) error {
	n := number(i.ID)
	h, err := s.State.HoldImage(n, true)
	if h == nil || err != nil {
		return err
	}
	defer h.Release()
	// While it is locked, no job records it again.
	if _, err := s.Engine.ImageNames(ctx, i.ID, ""); !engine.IsNotFound(err) {
		return err
	}
	return s.forget(n)
}
