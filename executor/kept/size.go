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

// Size is the disk space of a volume; the zero Size is unknown.
type Size struct {
	walk.Size
	Known bool `json:"known"`
	// Excess is true if the volume exceeds the limits for counting. Bytes and Entries are
	// lower bounds then.
	Excess bool `json:"excess,omitempty"`
}

// String is for messages.
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

// counted are the limits for counting one volume. A volume that exceeds them is too large,
// whatever its bytes: its files use up the disk's inodes, and take long to remove.
var counted = walk.Limits{Entries: 2_000_000, Depth: 200}

// measure counts the content of a volume, up to the limits.
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

// note is the content of a volume's file.
type note struct {
	Size Size `json:"size"`
	// Use is the file's modification time at the time of the measurement.
	Use time.Time `json:"use"`
	// Removed is true if the volume was removed for its size, and no job has reported it yet.
	Removed bool `json:"removed,omitempty"`
	// Temps are folders of a builds volume, relative to it, that may contain secrets of a
	// job that was killed.
	Temps []string `json:"temps,omitempty"`
}

// longestNote is longer than any note and any description of a disk, in bytes.
const longestNote = 64 << 10

// note reads a volume's note; empty after an error.
func (s *Store) note(volume string) note {
	n, err := s.readNote(volume)
	if err != nil {
		return note{}
	}
	return n
}

// readNote reads a volume's note. An empty file has no note.
func (s *Store) readNote(volume string) (n note, err error) {
	if err := readNotes(s.State.Kept(volume), &n); err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	return n, nil
}

// readNotes reads a file with JSON into v. For an empty file it returns io.EOF.
func readNotes(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestNote))
	switch {
	case err != nil:
		return err
	case len(text) == 0:
		err = io.EOF
	default:
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// setNote writes n to the file of a volume whose last use is n.Use, and keeps that
// modification time.
func (s *Store) setNote(volume string, n note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	path := s.State.Kept(volume)
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(n.Use) {
		return err // it was used in the meantime, so the measurement is outdated
	}
	return statedir.Overwrite(path, text, n.Use)
}

// Measure measures the volumes of unknown size, and records the sizes unless dryRun is set.
// A volume that is not measured before ctx ends stays unknown, without an error. The engine
// measures volumes that this process cannot see.
func (s *Store) Measure(ctx context.Context, volumes []Volume, dryRun bool) error {
	var theirs map[string]int64
	for n := range volumes {
		v := &volumes[n]
		if v.Size.Known || v.LastUse.IsZero() || v.Kind == Storage {
			continue // or it belongs to another state folder
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

// noteSize records the size of a volume that no job uses.
func (s *Store) noteSize(v Volume) {
	hold, err := s.State.Hold(v.Name, true)
	if err == nil && hold != nil {
		defer hold.Release()
		var n note
		// If the note of a builds volume is unreadable, keep it: the volume is then made again.
		if n, err = s.readNote(v.Name); err == nil || v.Kind != Builds {
			n.Size, n.Use = v.Size, v.LastUse
			err = s.setNote(v.Name, n)
		}
	}
	if err != nil {
		s.Log.Debugf("kept volume %s: %v", v.Name, err) // it will be measured again
	}
}

// tooLarge describes how a volume exceeds the limit for each volume, in bytes; empty if it
// does not. There is no limit if most is not positive.
func (v Volume) tooLarge(most int64) string {
	switch {
	case most <= 0 || !v.Size.Known || v.Kind == Storage: // storage.keep_size is its limit
		return ""
	case v.Size.Excess:
		return v.Size.String()
	case v.Size.Bytes > most:
		return fmt.Sprintf("%s, more than %s", v.Size, format.Bytes(most))
	}
	return ""
}

// removeTooLarge removes a volume for its size, and records that for the next job. It returns
// false in the same cases as Remove.
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
		s.Log.Debugf("kept volume %s: %v", v.Name, err) // then no job reports it
	}
	return true, nil
}
