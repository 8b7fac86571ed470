package kept

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/statedir"
)

// mounting is a store with the cache mounts of a job's project and of another project. Each
// has the caches "a" and "b" of 1 MiB. "a" was used less recently.
func mounting(t *testing.T, i job.Identity) (s *Store, e *volumes, own, others string) {
	t.Helper()
	e = &volumes{dir: t.TempDir(), users: map[string]bool{}}
	log := logrus.New()
	log.SetOutput(t.Output())
	s = &Store{State: statedir.Dir(t.TempDir()), Engine: e, Local: true, Log: log}
	volume := func(of job.Identity) string {
		name, labels := volumeFor(of, CacheMounts, false, nil)
		add(t, s, e, name, labels, time.Hour)
		for cache, days := range map[string]int{"a": 3, "b": 2} {
			file := filepath.Join(e.path(name), "0", cache, "file")
			then := time.Now().AddDate(0, 0, -days)
			err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, make([]byte, 1<<20), 0o644), os.Chtimes(file, then, then), os.Chtimes(filepath.Dir(file), then, then))
			if err != nil {
				t.Fatal(err)
			}
		}
		return name
	}
	own = volume(i)
	i.ProjectID++
	return s, e, own, volume(i)
}

// caches lists the caches of a volume.
func (e *volumes) caches(name string) string {
	var all []string
	for _, cache := range []string{"a", "b"} {
		if exists(filepath.Join(e.path(name), "0", cache)) {
			all = append(all, cache)
		}
	}
	return strings.Join(all, " ")
}

func TestCollectCacheMounts(t *testing.T) {
	for _, tc := range []struct {
		name              string
		limit             int64
		o                 removal.Options
		used, elsewhere   bool
		action            removal.Action
		reason, resources string
		rest              string
	}{
		{name: "no limit", rest: "a b"},
		{name: "they fit", limit: 3 << 20, rest: "a b"},
		{name: "too much", limit: 3 << 19, action: removal.Removed, reason: "the least recently used of more than 1.5MiB (storage.cache_mounts_size)", resources: `folder "0/a"`, rest: "b"},
		{name: "too much, dry run", limit: 3 << 19, o: removal.Options{DryRun: true}, action: removal.WouldRemove, reason: "the least recently used of more than 1.5MiB (storage.cache_mounts_size)", resources: `folder "0/a"`, rest: "a b"},
		{name: "all were used lately", limit: 1, o: removal.Options{OlderThan: 5 * 24 * time.Hour}, rest: "a b"},
		{name: "a job has them", limit: 3 << 19, used: true, action: removal.Kept, reason: "more than 1.5MiB (storage.cache_mounts_size), but jobs use them", rest: "a b"},
		{name: "on another machine", limit: 3 << 19, elsewhere: true, action: removal.LeftOver, reason: "is on another machine than this process", rest: "a b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e, own, others := mounting(t, job.Identity{ProjectID: 1})
			s.Limits.CacheMounts, s.Local, e.users[own] = tc.limit, !tc.elsewhere, tc.used
			if err := os.Remove(s.State.Kept(others)); err != nil { // then they belong to another state folder
				t.Fatal(err)
			}
			all, err := s.CollectCacheMounts(t.Context(), tc.o)
			if err != nil || len(all) > 1 || (len(all) == 1) != (tc.action != "") {
				t.Fatalf("%+v, %v", all, err)
			}
			for _, c := range all {
				if c.Name != own || c.Action != tc.action || !strings.Contains(c.Reason, tc.reason) || strings.Join(c.Resources, " ") != tc.resources {
					t.Errorf("%+v", c)
				}
			}
			if rest := e.caches(own); rest != tc.rest || e.caches(others) != "a b" {
				t.Errorf("left: %q, and %q of another state folder", rest, e.caches(others))
			}
		})
	}
}

// The cleanup of a job trims only the cache mounts of the job's project.
func TestAfterTrims(t *testing.T) {
	i := job.Identity{Server: "gitlab.example.com", ProjectID: 1, JobID: 2}
	s, e, own, others := mounting(t, i)
	var log strings.Builder
	logger := logrus.New()
	logger.SetOutput(&log)
	s.Limits.CacheMounts, s.Log = 3<<19, logger
	s.After(t.Context(), i)
	if e.caches(own) != "b" || e.caches(others) != "a b" {
		t.Errorf("left: %q, and %q of another project", e.caches(own), e.caches(others))
	}
	if !strings.Contains(log.String(), "to keep within 1.5MiB (storage.cache_mounts_size)") {
		t.Errorf("log: %s", log.String())
	}
}

func TestFolderNames(t *testing.T) {
	var folders []string
	for n := range 52 {
		folders = append(folders, fmt.Sprintf("0/\x1b%d", n))
	}
	all := folderNames(folders)
	if len(all) != 51 || all[50] != "2 more folders" || strings.Contains(all[0], "\x1b") {
		t.Errorf("%q", all)
	}
}
