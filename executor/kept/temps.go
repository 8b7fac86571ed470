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

// reset makes a builds volume ready for the next job. The caller holds it exclusively. File
// variables of a killed job are removed before a job of another author sees the volume. Temp
// is the folder for the next job's file variables, relative to the volume, or empty. If the
// volume cannot be cleared from here, it is made again with the labels.
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

// clear removes the recorded folders, and next.
func (s *Store) clear(ctx context.Context, volume string, noted []string, next string) error {
	for _, place := range noted {
		if !filepath.IsLocal(place) || filepath.Clean(place) == "." {
			return fmt.Errorf("%q is not a path below it", place)
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
		return nil // the previous job has removed its file variables
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

// ForgetTemps records that the job with the builds volume has removed its file variables.
func (s *Store) ForgetTemps(volume string) {
	hold, err := s.State.Hold(volume, false)
	if err == nil && hold != nil {
		defer hold.Release()
		err = s.setTemps(volume, nil)
	}
	if err != nil {
		s.Log.Debugf("kept volume %s: %v", volume, err) // the next job only searches once more
	}
}

// setTemps writes temps to the volume's file and to the disk, before a job gets the volume.
// The file is locked, so its inode stays the same. After a crash the file may be short or
// empty, and then counts as unknown or as written by an older version.
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
