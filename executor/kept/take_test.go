package kept

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/statedir"
)

// taking is a store with a log, and a job that keeps all its folders.
func taking(t *testing.T) (*Store, *volumes, *strings.Builder, job.Folders) {
	t.Helper()
	e := &volumes{dir: t.TempDir(), users: map[string]bool{}}
	var text strings.Builder
	log := logrus.New()
	log.SetOutput(&text)
	return &Store{State: statedir.Dir(t.TempDir()), Engine: e, Local: true, Log: log}, e, &text,
		job.Folders{Builds: "/builds", Cache: "/cache", Temp: "/builds/group/project.tmp", KeepBuilds: true, KeepCache: true, KeepCacheMounts: true, Slot: 3}
}

var someone = job.Identity{Server: "gitlab.example.com", RunnerID: 7, ProjectID: 1, JobID: 2}

func TestTakeFolders(t *testing.T) {
	all := Taken{Builds: "gsx-kept-builds-b84e2e8d-p1-r7-s3", Cache: "gsx-kept-cache-b84e2e8d-p1", CacheMounts: "gsx-kept-cache-mounts-b84e2e8d-p1"}
	const mounts = "Cache mounts of image builds are kept for the project's jobs (storage.cache_mounts)."
	var pruned []string
	for _, tc := range []struct {
		name   string
		change func(*volumes, *job.Folders)
		want   Taken
		log    string
	}{
		{"all are kept", nil, all, mounts},
		{"nothing is kept", func(_ *volumes, f *job.Folders) { *f = job.Folders{Builds: "/builds", Cache: "/cache"} }, Taken{}, ""},
		{"a protected ref", func(_ *volumes, f *job.Folders) { f.Protected = true },
			Taken{all.Builds + "-protected", all.Cache + "-protected", all.CacheMounts + "-protected"}, mounts},
		{"another job's container has builds", func(e *volumes, _ *job.Folders) { e.users[all.Builds] = true },
			Taken{Cache: all.Cache, CacheMounts: all.CacheMounts}, "The kept folder /builds (volume " + all.Builds + ") is in use by another job; this job gets a new one, which is not kept."},
		{"another job's container has the cache", func(e *volumes, _ *job.Folders) { e.users[all.Cache] = true }, all, mounts},
		{"cache and cache mounts are being pruned", func(*volumes, *job.Folders) { pruned = []string{all.Cache, all.CacheMounts} },
			Taken{Builds: all.Builds}, "The project's kept cache mounts are just being pruned: this job's builds begin without them."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e, log, f := taking(t)
			pruned = nil
			if tc.change != nil {
				tc.change(e, &f)
			}
			for _, name := range pruned {
				hold, err := s.State.Hold(name, true)
				if hold == nil || err != nil {
					t.Fatal(hold, err)
				}
				defer hold.Release()
			}
			taken, release, err := s.TakeFolders(t.Context(), someone, f)
			if err != nil || taken != tc.want {
				t.Fatalf("%+v, %v, want %+v", taken, err, tc.want)
			}
			if text := log.String(); !strings.Contains(text, tc.log) || tc.log == "" && text != "" {
				t.Errorf("log: %s", text)
			}
			for _, name := range []string{taken.Builds, taken.Cache, taken.CacheMounts} {
				if name == "" {
					continue
				}
				if hold, err := s.State.Hold(name, true); hold != nil || err != nil || !e.there(name) {
					t.Errorf("%s can be taken by another job: %v", name, err)
				}
			}
			release()
			for _, name := range []string{taken.Builds, taken.Cache, taken.CacheMounts} {
				if name == "" {
					continue
				}
				if hold, err := s.State.Hold(name, true); hold == nil || err != nil {
					t.Errorf("%s is still held: %v", name, err)
				}
			}
		})
	}
}

// If the engine fails, nothing stays locked.
func TestTakeFoldersFails(t *testing.T) {
	for _, kind := range []string{Builds, Cache, CacheMounts} {
		s, e, _, f := taking(t)
		e.creating = func(name string) error {
			if name == Prefix+kind+"-b84e2e8d-p1" || kind == Builds {
				return errors.New("the engine fails")
			}
			return nil
		}
		taken, release, err := s.TakeFolders(t.Context(), someone, f)
		if err == nil || err.Error() != "the engine fails" || release != nil {
			t.Errorf("%s: %+v, %v", kind, taken, err)
		}
		files, _ := filepath.Glob(s.State.Kept(Prefix + "*"))
		if len(files) == 0 {
			t.Errorf("%s: nothing was held", kind)
		}
		for _, file := range files {
			if hold, err := s.State.Hold(filepath.Base(file), true); hold == nil || err != nil {
				t.Errorf("%s: %s is still held: %v", kind, file, err)
			}
		}
	}
}

// A job finds the builds folder as the previous job left it, without the previous job's file
// variables.
func TestTakeFoldersAgain(t *testing.T) {
	s, e, log, f := taking(t)
	var taken Taken
	for n := range 2 {
		var release func()
		var err error
		if taken, release, err = s.TakeFolders(t.Context(), someone, f); err != nil {
			t.Fatal(err)
		}
		release()
		volume := e.path(taken.Builds)
		if n == 0 {
			err := errors.Join(os.MkdirAll(volume+"/group/project.tmp", 0o755), os.WriteFile(volume+"/group/project.tmp/SECRET", nil, 0o600), os.WriteFile(volume+"/group/kept", nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if exists(volume+"/group/project.tmp") || !exists(volume+"/group/kept") {
			t.Error("file variables are there, or what is to be kept is not")
		}
	}
	v, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range v {
		v.Size = Size{Known: true, Excess: true}
		if gone, err := s.removeTooLarge(t.Context(), v); !gone || err != nil {
			t.Fatal(gone, err)
		}
	}
	log.Reset()
	for range 2 { // the second job does not report it
		_, release, err := s.TakeFolders(t.Context(), someone, f)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	for _, folder := range []string{"/builds", "/cache", "/var/cache/gitlab-sysbox-executor"} {
		if n := strings.Count(log.String(), "The folder "+folder+" was not kept when the last job with it had ended: it had folders nested deeper than 200, which is more than may be kept (gc.volume_size)."); n != 1 {
			t.Errorf("%s: reported %d times: %s", folder, n, log)
		}
	}
}
