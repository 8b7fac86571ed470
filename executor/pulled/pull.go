package pulled

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/imagepull"
)

// recorder is the engine's image store for a job. It records the job's pulls.
type recorder struct {
	imagepull.Store
	pulled *Store
}

// pull is a pull that has begun.
type pull struct {
	Reference string `json:"reference"`
	Platform  string `json:"platform,omitempty"`
	// Before are the hashes of all images that were there when it began.
	Before []string `json:"before"`
}

// pullPrefix is the prefix of the names of files about pulls.
const pullPrefix = "pull-"

// noteTime limits the time to record the result of a pull.
const noteTime = 15 * time.Second

// Pull pulls an image and records it if it was not there before.
func (r recorder) Pull(ctx context.Context, ref, platform string, c image.Credentials, progress func(engine.Progress)) error {
	p, err := r.pulled.begin(ctx, ref, platform)
	if err != nil {
		return err
	}
	path, done, err := r.pulled.write(p)
	if err != nil {
		return fmt.Errorf("noting a pull: %w", err)
	}
	defer done()
	err = r.Store.Pull(ctx, ref, platform, c, progress)
	if ctx.Err() != nil || engine.IsUnreachable(err) {
		return err // the engine may still complete the pull; gc checks that
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer cancel()
		if err := r.pulled.settle(ctx, p); err != nil {
			return err
		}
	}
	return errors.Join(err, os.Remove(path))
}

// begin reads the state before a pull.
func (s *Store) begin(ctx context.Context, ref, platform string) (pull, error) {
	p := pull{Reference: ref, Platform: platform}
	ids, err := s.Engine.ImageIDs(ctx)
	if err != nil {
		return p, err
	}
	// An engine with an image for several platforms may list it with another ID.
	if img, err := s.Engine.ImageNames(ctx, ref, platform); err == nil {
		ids = append(ids, img.ID)
	} else if !engine.IsNotFound(err) {
		return p, err
	}
	for _, id := range ids {
		p.Before = append(p.Before, number(id))
	}
	return p, nil
}

// write records a pull that is about to begin, until done is called or this process dies.
func (s *Store) write(p pull) (path string, done func(), err error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", nil, err
	}
	for {
		name := pullPrefix + strings.ToLower(rand.Text())
		h, err := s.State.HoldImage(name, true)
		if err != nil {
			return "", nil, err
		} else if h == nil {
			continue // gc has removed it as the file of a dead process
		}
		path := s.State.PulledImage(name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			os.Remove(path)
			h.Release()
			return "", nil, err
		}
		return path, h.Release, nil
	}
}

// settle records the result of a pull.
func (s *Store) settle(ctx context.Context, p pull) error {
	img, err := s.Engine.ImageNames(ctx, p.Reference, p.Platform)
	if engine.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	return s.add(ctx, img.ID, p.Reference, !slices.Contains(p.Before, number(img.ID)))
}

// Settle records the results of pulls whose processes have died.
func (s *Store) Settle(ctx context.Context) error {
	entries, err := os.ReadDir(s.State.Pulled())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pulled images: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if strings.HasPrefix(e.Name(), pullPrefix) {
			errs = append(errs, s.settleDead(ctx, e.Name()))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) settleDead(ctx context.Context, name string) error {
	h, err := s.State.HoldImage(name, true)
	if h == nil || err != nil {
		return err
	}
	defer h.Release()
	p, ok, err := s.pull(name)
	if err != nil {
		return fmt.Errorf("pulled images: %w", err)
	}
	if ok {
		if err := s.settle(ctx, p); err != nil {
			return err
		}
	}
	return os.Remove(s.State.PulledImage(name))
}

// pull reads the file of a pull. It returns false for an incomplete one: its pull has not begun.
func (s *Store) pull(name string) (p pull, ok bool, err error) {
	text, err := os.ReadFile(s.State.PulledImage(name))
	if err != nil {
		return p, false, err
	}
	return p, json.Unmarshal(text, &p) == nil && image.Check(p.Reference) == nil, nil
}

// brought returns whether another pull, whose result is not recorded yet, has brought the image.
func (s *Store) brought(ctx context.Context, id string) (bool, error) {
	entries, err := os.ReadDir(s.State.Pulled())
	if err != nil {
		return false, fmt.Errorf("pulled images: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), pullPrefix) {
			continue
		}
		p, ok, err := s.pull(e.Name())
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!ok || slices.Contains(p.Before, number(id))) {
			continue
		} else if err != nil {
			return false, fmt.Errorf("pulled images: %w", err)
		}
		img, err := s.Engine.ImageNames(ctx, p.Reference, p.Platform)
		if err == nil && img.ID == id {
			return true, nil
		} else if err != nil && !engine.IsNotFound(err) {
			return false, err
		}
	}
	return false, nil
}
