package shared

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
)

// Listing describes the shared images.
type Listing struct {
	Images      []storage.StoredImage `json:"images"`
	Generations []GenerationUse       `json:"generations"`
}

// GenerationUse is a generation with the jobs that use it.
type GenerationUse struct {
	Number  int      `json:"generation"`
	Volume  string   `json:"volume"`
	Current bool     `json:"current"`
	Jobs    []string `json:"jobs"` // job names, from the names of their resources
}

// List lists the images that jobs see, and the generations that jobs use.
func (s *Store) List(ctx context.Context) (Listing, error) {
	l := Listing{Images: []storage.StoredImage{}, Generations: []GenerationUse{}}
	current, err := s.Current()
	if err != nil {
		return l, err
	}
	l.Images = append(l.Images, current.Images...)
	all, err := s.volumes(ctx)
	if err != nil {
		return l, err
	}
	for _, v := range all {
		users, err := s.Engine.VolumeUsers(ctx, v)
		if err != nil {
			return l, err
		}
		g := GenerationUse{Number: s.number(v), Volume: v, Current: v == current.Volume, Jobs: []string{}}
		for _, u := range users {
			if name := u.Labels[job.LabelName]; job.Owns(name, u.Name, u.Labels) && !slices.Contains(g.Jobs, name) {
				g.Jobs = append(g.Jobs, name)
			}
		}
		slices.Sort(g.Jobs)
		l.Generations = append(l.Generations, g)
	}
	return l, nil
}

// Next is the next generation. Nothing exists yet with its number.
func (s *Store) Next(ctx context.Context, current Generation) (Generation, error) {
	next := Generation{Number: current.Number + 1, Made: time.Now().UTC().Round(time.Second)}
	all, err := s.volumes(ctx)
	if err != nil {
		return next, err
	}
	for _, v := range all {
		next.Number = max(next.Number, s.number(v)+1)
	}
	next.Volume = s.volume(next.Number)
	return next, nil
}

// volumes are the names of the volumes of all generations of this state folder, including those
// that have only a lock file, in the order of their numbers.
func (s *Store) volumes(ctx context.Context) ([]string, error) {
	found, err := s.Engine.FindVolumes(ctx, job.LabelImages, s.ID())
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range found {
		all = append(all, f.Name)
	}
	for _, path := range s.locks() {
		all = append(all, filepath.Base(path))
	}
	all = slices.DeleteFunc(all, func(v string) bool { return s.number(v) == 0 })
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(s.number(a), s.number(b)) })
	return slices.Compact(all), nil
}

// locks are the files in this state folder that may belong to generations.
func (s *Store) locks() []string {
	all, _ := filepath.Glob(s.State.Kept("gsx-images-*")) // the pattern is valid
	return all
}
