package kept

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/statedir"
)

// File variables of a killed job are removed before the next job has the volume, wherever they
// are and whatever an earlier author has put in the way.
func TestHostileResetLeavesNoSecrets(t *testing.T) {
	const was, renamed = "group/project.tmp", "renamed/project.tmp"
	kept := []string{"group/project/kept"}
	for title, c := range map[string]struct {
		elsewhere bool
		ended     bool                      // the killed job had removed its file variables
		note      string                    // replaces the note
		older     bool                      // replaces the note with an empty file
		plant     func(volume string) error // by the author of an earlier job
		next      string                    // the folder of the next job's file variables
		left      []string
	}{
		"the same place":                 {next: was, left: kept},
		"another place":                  {next: renamed, left: kept},
		"nowhere":                        {next: "", left: kept},
		"an older version's":             {older: true, next: was, left: kept},
		"a note that makes no sense":     {note: "[", next: renamed},
		"a note cut off":                 {note: `{"temps":["group/pro`, next: renamed},
		"a place outside":                {note: `{"temps":["../../x"]}`, next: renamed},
		"the whole volume":               {note: `{"temps":["a/.."]}`, next: renamed},
		"from another machine":           {elsewhere: true, next: was},
		"from another machine, in order": {elsewhere: true, ended: true, next: was, left: kept},
		"a link in the way": {next: was, left: kept, plant: func(volume string) error {
			return errors.Join(os.Mkdir(volume+"/evil", 0o700), os.Symlink("evil", volume+"/group"))
		}},
	} {
		t.Run(title, func(t *testing.T) {
			e := &volumes{dir: t.TempDir(), users: map[string]bool{}}
			var log strings.Builder
			logger := logrus.New()
			logger.SetOutput(&log)
			s := &Store{State: statedir.Dir(t.TempDir()), Engine: e, Local: !c.elsewhere, Log: logger}
			volume := e.path(name)
			take := func(temp string) {
				t.Helper()
				hold, _, err := s.takeVolume(t.Context(), name, nil, true)
				if err != nil || hold == nil {
					t.Fatal(hold, err)
				}
				defer hold.Release()
				if err := s.reset(t.Context(), name, temp, nil); err != nil {
					t.Fatal(err)
				}
			}
			if c.plant != nil {
				take("")
				if err := c.plant(volume); err != nil {
					t.Fatal(err)
				}
			}
			take(was)
			err := errors.Join(
				os.MkdirAll(volume+"/group/project", 0o700), os.WriteFile(volume+"/group/project/kept", nil, 0o600),
				os.MkdirAll(volume+"/group/project.tmp/sub", 0o700), os.WriteFile(volume+"/group/project.tmp/SECRET", []byte("s3cret"), 0o600),
			)
			if c.ended && err == nil {
				err = os.RemoveAll(volume + "/group/project.tmp")
				s.ForgetTemps(name)
			}
			if (c.note != "" || c.older) && err == nil {
				err = os.WriteFile(s.State.Kept(name), []byte(c.note), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			// Measuring the size in between changes nothing.
			s.Local = true
			all := []Volume{only(t, s)}
			if err := s.Measure(t.Context(), all, false); err != nil {
				t.Fatal(err)
			}
			s.Local = !c.elsewhere
			take(c.next)
			var left []string
			_ = filepath.WalkDir(volume, func(path string, entry os.DirEntry, err error) error {
				if err == nil && !entry.IsDir() {
					rel, _ := filepath.Rel(volume, path)
					left = append(left, rel)
				}
				return nil
			})
			if !slices.Equal(left, c.left) || strings.Contains(log.String(), "starts empty") != (c.left == nil) {
				t.Errorf("left %q, want %q; log:\n%s", left, c.left, log.String())
			}
			want := []string{c.next}
			if c.next == "" {
				want = nil
			}
			if n, err := s.readNote(name); err != nil || !slices.Equal(n.Temps, want) {
				t.Errorf("noted %q, %v", n.Temps, err)
			}
		})
	}
}
