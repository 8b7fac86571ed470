package kept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/executor/walk"
)

// Size is what a volume takes of the disk; the zero Size is not known.
type Size struct {
	walk.Size
	Known bool `json:"known"`
	// Excess says that the volume holds more than is counted: Bytes and Entries are
	// the least that there is.
	Excess bool `json:"excess,omitempty"`
}

// String is for a message.
func (s Size) String() string {
	switch {
	case !s.Known:
		return "unknown size"
	case s.Excess && s.Entries >= int64(counted.Entries):
		return fmt.Sprintf("more than %d files and folders", counted.Entries)
	case s.Excess:
		return fmt.Sprintf("folders nested deeper than %d", counted.Depth)
	}
	return format.Bytes(s.Bytes)
}

// counted is how much is counted of one volume. A kept volume that holds more is too
// large, whatever its bytes: its files take what else the disk has, which are inodes
// on most file systems, and the time of whoever has to remove them.
var counted = walk.Limits{Entries: 2_000_000, Depth: 200}

// measure counts what is in a volume, up to the limits.
func measure(ctx context.Context, path string, l walk.Limits) (Size, error) {
	m, err := walk.Measure(ctx, path, l)
	switch {
	case errors.Is(err, walk.ErrEntries), errors.Is(err, walk.ErrDepth):
		return Size{Size: m, Known: true, Excess: true}, nil
	case err != nil:
		return Size{}, fmt.Errorf("measuring %s: %w", path, err)
	}
	return Size{Size: m, Known: true}, nil
}

// note is what the file of a volume holds.
type note struct {
	Size Size `json:"size"`
	// Use is the file's time of modification for which the size was measured.
	Use time.Time `json:"use"`
	// Removed says that the volume was removed for its size, and no job has been told.
	Removed bool `json:"removed,omitempty"`
	// Temps are the folders of a builds volume, relative to it, in which there may be
	// secrets of a job that did not end in order.
	Temps []string `json:"temps,omitempty"`
}

// longestNote is more than any note has.
const longestNote = 64 << 10

// note reads what is noted of a volume: nothing where that is not possible.
func (s *Store) note(volume string) note {
	n, err := s.readNote(volume)
	if err != nil {
		return note{}
	}
	return n
}

// readNote reads what is noted of a volume. An empty file has no note.
func (s *Store) readNote(volume string) (n note, err error) {
	f, err := os.Open(s.State.Kept(volume))
	if err != nil {
		return n, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestNote))
	if err != nil || len(text) == 0 {
		return n, err
	}
	if err := json.Unmarshal(text, &n); err != nil {
		return n, fmt.Errorf("%s: %w", s.State.Kept(volume), err)
	}
	return n, nil
}

// setNote writes n into the file of a volume whose last use is n.Use, and leaves that
// as it is.
func (s *Store) setNote(volume string, n note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	path := s.State.Kept(volume)
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(n.Use) {
		return err // it was used meanwhile: what was measured holds no more
	}
	return statedir.Overwrite(path, text, n.Use)
}

// Measure finds out the sizes of those volumes of which nothing is known, and notes
// them unless dryRun. One that cannot be measured before ctx ends stays unknown; that
// is no error. Volumes that are not seen here are measured by their engine.
func (s *Store) Measure(ctx context.Context, volumes []Volume, dryRun bool) error {
	var theirs map[string]int64
	for n := range volumes {
		v := &volumes[n]
		if v.Size.Known || v.LastUse.IsZero() {
			continue // or another state folder's
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := os.Stat(v.Path); !s.Local || err != nil {
			if theirs == nil {
				var err error
				if theirs, err = s.Engine.VolumeSizes(ctx); err != nil {
					return err
				}
			}
			if bytes, ok := theirs[v.Name]; ok && bytes >= 0 {
				v.Size = Size{Size: walk.Size{Bytes: bytes}, Known: true}
			}
			continue
		}
		size, err := measure(ctx, v.Path, counted)
		if err != nil {
			s.Log.Debugf("kept volume %s: %v", v.Name, err)
			continue
		}
		v.Size = size
		if !dryRun {
			s.noteSize(*v)
		}
	}
	return nil
}

// noteSize notes what was measured of a volume that nobody has.
func (s *Store) noteSize(v Volume) {
	hold, err := s.State.Hold(v.Name, true)
	if err == nil && hold != nil {
		defer hold.Release()
		var n note
		// What cannot be read says of a builds volume that it has to be made anew.
		if n, err = s.readNote(v.Name); err == nil || v.Kind != Builds {
			n.Size, n.Use = v.Size, v.LastUse
			err = s.setNote(v.Name, n)
		}
	}
	if err != nil {
		s.Log.Debugf("kept volume %s: %v", v.Name, err) // it is measured again
	}
}

// tooLarge says in what way a volume is larger than each may be, in bytes; empty where
// it is not. Any size is allowed where most is not positive.
func (v Volume) tooLarge(most int64) string {
	switch {
	case most <= 0 || !v.Size.Known:
		return ""
	case v.Size.Excess:
		return v.Size.String()
	case v.Size.Bytes > most:
		return fmt.Sprintf("%s, more than %s", v.Size, format.Bytes(most))
	}
	return ""
}

// removeTooLarge removes a volume for its size, which the next job that would have
// had it is told. It returns false as Remove does.
func (s *Store) removeTooLarge(ctx context.Context, v Volume) (bool, error) {
	hold, err := s.holdUnused(v)
	if hold == nil || err != nil {
		return false, err
	}
	defer hold.Release()
	gone, err := s.removeVolume(ctx, v.Name)
	if !gone || err != nil {
		return gone, err
	}
	if err := s.setNote(v.Name, note{Size: v.Size, Use: v.LastUse, Removed: true}); err != nil {
		s.Log.Debugf("kept volume %s: %v", v.Name, err) // the job is not told
	}
	return true, nil
}
