package kept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"gitlab-sysbox-executor/executor/walk"
)

// reset makes a builds volume ready for the next job, for a caller who holds it alone:
// file variables of a job that was killed are removed wherever they lay, before
// anything of another author's sees the volume. Temp is where the next job's will be,
// relative to the volume; empty for nowhere in it. A volume that cannot be cleared from
// here is made anew, with the labels.
func (s *Store) reset(ctx context.Context, volume, temp string, labels map[string]string) error {
	n, err := s.readNote(volume)
	if err == nil {
		err = s.clear(ctx, volume, n.Temps, temp)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		s.Log.Infof("The kept volume %s starts empty: file variables that an earlier job may have left in it could not be removed: %v.", volume, err)
		if _, err := s.removeVolume(ctx, volume); err != nil {
			return err
		}
		if err := s.Engine.CreateVolume(ctx, volume, nil, labels); err != nil {
			return err
		}
	}
	var temps []string
	if temp != "" {
		temps = []string{temp}
	}
	return s.setTemps(volume, temps)
}

// clear removes what is at the places noted, and at the next.
func (s *Store) clear(ctx context.Context, volume string, noted []string, next string) error {
	for _, place := range noted {
		if !filepath.IsLocal(place) || filepath.Clean(place) == "." {
			return fmt.Errorf("%q is no place below it", place)
		}
	}
	found, err := s.Engine.FindVolume(ctx, volume)
	if err != nil {
		return err
	}
	seen := s.Local && len(found.Paths) > 0
	if seen {
		_, err = os.Stat(found.Paths[0])
		seen = err == nil
	}
	switch {
	case !seen && len(noted) > 0:
		return errors.New("its engine is on another machine than this process")
	case !seen:
		return nil // the job before has removed its own
	}
	places := slices.Clone(noted)
	if next != "" && !slices.Contains(places, next) {
		places = append(places, next)
	}
	for _, place := range places {
		if err := walk.RemovePath(ctx, found.Paths[0], place); err != nil {
			return err
		}
	}
	return nil
}

// ForgetTemps notes that the job with the builds volume has removed its file variables.
func (s *Store) ForgetTemps(volume string) {
	hold, err := s.State.Hold(volume, false)
	if err == nil && hold != nil {
		defer hold.Release()
		err = s.setTemps(volume, nil)
	}
	if err != nil {
		s.Log.Debugf("kept volume %s: %v", volume, err) // they are looked for once more
	}
}

// setTemps writes them to the volume's file and to the disk: before, no job is to have
// the volume. The file stays the same: it is locked. What a crash leaves of it is short
// or none, and is taken for unknown or for an older version's.
func (s *Store) setTemps(volume string, temps []string) error {
	n := s.note(volume)
	n.Temps = temps
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.State.Kept(volume), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("kept volume %s: %w", volume, err)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("kept volume %s: %w", volume, err)
	}
	return nil
}
