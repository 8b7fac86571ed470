package removal

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/journal"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/statedir"
	"gitlab-sysbox-executor/integration/heap"
)

// If the clock is set back or ahead by years, no job that may live counts as over, and no
// job that is over counts as new for long.
func TestLivenessWhenTheClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	here := owner.Current()
	unseen := func(age time.Duration) owner.Process { // in another PID namespace
		p := here
		p.Space, p.At = "1", p.At-int64(age/time.Second)
		return p
	}
	elsewhere, ended := here, here
	elsewhere.Machine = "other"
	ended.Started++
	for name, tc := range map[string]struct {
		owner     owner.Process
		used      time.Duration // ago, by the clock
		olderThan time.Duration
		lives     bool
	}{
		"seen, clock ahead":                     {here, 5 * year, 0, true},
		"seen, clock back":                      {here, -5 * year, 0, true},
		"ended, clock back":                     {ended, -5 * year, 0, false},
		"unseen, new, clock ahead":              {unseen(time.Hour), 5 * year, 0, true},
		"unseen, new, clock back":               {unseen(time.Hour), -5 * year, 0, true},
		"unseen, old, clock back":               {unseen(25 * time.Hour), -5 * year, 0, true}, // stays alive for a day
		"unseen, begun long ago, used lately":   {unseen(72 * time.Hour), time.Hour, 0, true},
		"unseen, begun long ago, used long ago": {unseen(72 * time.Hour), 48 * time.Hour, 0, false},
		"ended, clock back, older than an hour": {ended, -5 * year, time.Hour, true},
		"ended long ago, older than an hour":    {ended, 2 * time.Hour, time.Hour, true}, // the test has begun it just now
		"elsewhere, clock back":                 {elsewhere, -5 * year, 0, true},
		"elsewhere, used long ago":              {elsewhere, 48 * time.Hour, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := testEngine(t)
			j, _, err := journal.Open(e.Dir.Journals(), aJob)
			if err == nil {
				err = j.Begin(json.RawMessage("{}"), tc.owner, "")
			}
			then := time.Now().Add(-tc.used)
			path := e.Dir.Journal(aJob)
			if err == nil {
				err = os.Chtimes(path, then, then)
			}
			if err != nil {
				t.Fatal(err)
			}
			if lives, why := e.lives(aJob, nil, tc.olderThan); lives != tc.lives {
				t.Errorf("%v: %s", lives, why)
			}
		})
	}
}

// Quarantined folders with a time in the future are removed, too. For an unreadable journal
// the week begins now.
func TestQuarantineFromTheFuture(t *testing.T) {
	e := testEngine(t)
	folder := filepath.Join(e.Dir.Aside(), "gsx-1-1")
	unread := e.Dir.Journal("gsx-1") + ".aside-1"
	future := time.Now().Add(5 * 365 * 24 * time.Hour)
	for _, err := range []error{
		os.MkdirAll(folder, 0o700), os.MkdirAll(filepath.Dir(unread), 0o700), os.WriteFile(unread, nil, 0o600),
		os.Chtimes(folder, future, future), os.Chtimes(unread, future, future),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dryRun := range []bool{true, false} {
		if _, err := e.Collect(t.Context(), Options{DryRun: dryRun}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(unread)
		if err != nil || info.ModTime().After(time.Now()) != dryRun {
			t.Errorf("with dry run %t it has the stamp %v %v", dryRun, info.ModTime(), err)
		}
	}
	actions := map[string]Action{}
	for _, c := range e.CollectQuarantine(t.Context(), Options{}) {
		actions[c.Name] = c.Action
	}
	if actions[folder] != Removed || exists(folder) || actions[unread] != Kept {
		t.Errorf("%v", actions)
	}
}

// If a job has only labels, those of this state folder prove that it is over.
func TestLivenessOfLabelsAlone(t *testing.T) {
	e, other := testEngine(t), testEngine(t)
	here := owner.Current()
	elsewhere, copied := here, here
	elsewhere.Machine = "other"
	copied.Boot = "other"
	ended := here
	ended.Started++
	kept := func(r Resource) Resource { r.Labels[job.LabelKeep] = time.Hour.String(); return r }
	found := func(of *Engine, by owner.Process) Resource {
		labels := map[string]string{job.LabelOwner: by.String()}
		if of != nil {
			labels[job.LabelState] = of.Dir.ID()
		}
		return Resource{Labels: labels}
	}
	for name, tc := range map[string]struct {
		found  []Resource
		folder bool
		lives  bool
	}{
		"ours":                           {[]Resource{found(e, here)}, false, false},
		"ours, with its folder":          {[]Resource{found(e, here)}, true, true},
		"another's":                      {[]Resource{found(other, here)}, false, true},
		"of an older version":            {[]Resource{found(nil, here)}, false, true},
		"ours and another's":             {[]Resource{found(e, here), found(other, here)}, false, true},
		"of a machine with such numbers": {[]Resource{found(e, elsewhere)}, false, true},
		"of a copy of this machine":      {[]Resource{found(other, copied)}, false, true},
		"another's, ended":               {[]Resource{found(other, ended)}, false, false},
		"another's, ended and kept":      {[]Resource{kept(found(other, ended))}, false, true},
		"ours, kept, without a journal":  {[]Resource{kept(found(e, here))}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder := e.Dir.Job(aJob)
			if tc.folder {
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(folder)
			}
			tc.found[0].Made = time.Now()
			if lives, why := e.lives(aJob, tc.found, 0); lives != tc.lives {
				t.Errorf("%v: %s", lives, why)
			}
		})
	}
	gone := testEngine(t)
	gone.Dir = statedir.Dir(filepath.Join(t.TempDir(), "none"))
	ended.At -= int64((unsureTime + 2*time.Hour) / time.Second)
	old := kept(found(other, ended))
	old.Made = time.Now().Add(-unsureTime - 2*time.Hour)
	if lives, why := e.lives(aJob, []Resource{old}, 0); lives {
		t.Errorf("kept long ago: %s", why)
	}
	if lives, why := gone.lives(aJob, []Resource{found(gone, here)}, 0); !lives {
		t.Errorf("of no state folder: %s", why)
	}
}

// A living job of another state folder must not leave files in this one, not even for a
// moment: after a kill they would stay.
func TestCollectWritesNothingForAnothersJob(t *testing.T) {
	networks := asked(journal.Network)
	networks.add(aJob, aJob, map[string]string{job.LabelOwner: owner.Current().String()})
	e := testEngine(t, networks)
	lists := 0
	networks.listed = func(only string) {
		if only == "" {
			return
		}
		lists++
		if all, err := filepath.Glob(filepath.Join(e.Dir.Journals(), "*")); err != nil || len(all) > 0 {
			t.Errorf("%v %v", all, err)
		}
	}
	all, err := e.Collect(t.Context(), Options{})
	if err != nil || len(all) != 1 || all[0].Action != Kept || lists == 0 {
		t.Errorf("%+v %v, asked %d times", all, err, lists)
	}
}

// A job that is over is removed, or only named in a dry run. A job whose cleanup is running
// is left alone.
func TestCollect(t *testing.T) {
	ended := owner.Current()
	ended.Started++
	volumes := asked(journal.Volume)
	volumes.add(aJob, aJob, map[string]string{job.LabelOwner: ended.String()})
	e := testEngine(t, volumes)
	want := func(o Options, action Action, there int) {
		t.Helper()
		all, err := e.Collect(t.Context(), o)
		if err != nil || len(all) != 1 || all[0].Action != action || volumes.count() != there {
			t.Errorf("%+v %v, %d there", all, err, volumes.count())
		}
	}
	want(Options{DryRun: true}, WouldRemove, 1)
	want(Options{OlderThan: time.Hour}, Kept, 1)
	unlock, ok, err := e.Dir.TryLock(aJob)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	want(Options{}, Kept, 1)
	unlock()
	want(Options{}, Removed, 0)
	if all, err := e.Collect(t.Context(), Options{}); err != nil || len(all) > 0 {
		t.Errorf("%+v %v", all, err)
	}
}

// FuzzLiveness gives gc arbitrary owner labels. A job lives only with a reason, and is never
// over if its owner process lives.
func FuzzLiveness(f *testing.F) {
	f.Add(owner.Current().String(), "")
	f.Add("1/2/b/s/m/3", "1-2")
	f.Add("-1/-1/////", "\x1b")
	e := &Engine{Dir: statedir.Dir(f.TempDir()), Backend: here{}}
	f.Fuzz(func(t *testing.T, label, state string) {
		defer heap.Bounded(t)()
		r := Resource{Labels: map[string]string{job.LabelOwner: label, job.LabelState: state}, Made: time.Now()}
		lives, why := e.lives(aJob, []Resource{r}, 0)
		if why == "" || !lives && owner.Parse(label).State(false) == owner.Alive {
			t.Errorf("%q: %t %q", label, lives, why)
		}
	})
}

// If the owner process cannot be seen, the sign of life of the driver decides. Where the owner process can be seen, it
// decides alone.
func TestLivenessBySigns(t *testing.T) {
	elsewhere := owner.Current()
	elsewhere.Machine = "other"
	ended := owner.Current()
	ended.Started++
	for name, c := range map[string]struct {
		owner owner.Process
		until time.Duration // from now; 0 for none
		keep  string
		lives bool
	}{
		"a sign":               {elsewhere, time.Minute, "", true},
		"no sign any more":     {elsewhere, -time.Minute, "", false},
		"no signs at all":      {elsewhere, 0, "", true},
		"kept for a person":    {elsewhere, -time.Minute, "1h", true},
		"ended, with a sign":   {ended, time.Minute, "", false},
		"living, without sign": {owner.Current(), -time.Minute, "", true},
	} {
		k := asked(journal.Pod)
		e := testEngine(t, k)
		k.add(aJob, aJob, map[string]string{job.LabelOwner: c.owner.String(), job.LabelState: "another", job.LabelKeep: c.keep})
		if c.until != 0 {
			k.there[0].Until = time.Now().Add(c.until)
		}
		if lives, why := e.lives(aJob, k.there, 0); lives != c.lives {
			t.Errorf("%s: %t, %s", name, lives, why)
		}
	}
}
