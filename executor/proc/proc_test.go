package proc

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

func TestParseStat(t *testing.T) {
	const rest = "1234 1234 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 2703360 1 18446744073709551615"
	for name, c := range map[string]struct {
		text string
		want Stat
		bad  bool
	}{
		"plain":                    {"77 (sleep) S 5 " + rest, Stat{'S', 5, 987654}, false},
		"blanks and brackets":      {"77 (a) Z 9 (b) S 5 " + rest, Stat{'S', 5, 987654}, false},
		"a line end":               {"77 (a\n) S 1 2) Z 5 " + rest + "\n", Stat{'Z', 5, 987654}, false},
		"no parent":                {"1 (init) S 0 " + rest, Stat{'S', 0, 987654}, false},
		"empty":                    {"", Stat{}, true},
		"no brackets":              {"77 sleep S 5 " + rest, Stat{}, true},
		"cut off":                  {"77 (sleep) S 5 1234", Stat{}, true},
		"parent that is no number": {"77 (sleep) S x " + rest, Stat{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat(c.text)
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestChild(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := child.Process.Pid
	s, err := ReadStat(pid)
	if err != nil || s.Parent != os.Getpid() || s.Started == 0 || s.Dead() {
		t.Errorf("%+v, %v", s, err)
	}
	if Parent(pid) != os.Getpid() || Started(pid) != s.Started {
		t.Errorf("parent %d, started %d", Parent(pid), Started(pid))
	}
	pids, err := List()
	if err != nil || !slices.Contains(pids, pid) || !slices.Contains(pids, os.Getpid()) || !slices.IsSorted(pids) {
		t.Errorf("%v, %v", pids, err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if _, err := ReadStat(pid); err == nil || Started(pid) != 0 || Parent(pid) != 0 {
		t.Errorf("it is there after its end: %v", err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("77 (a) Z 9 (b) S 5 1234 1234 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 2703360")
	f.Fuzz(func(t *testing.T, text string) {
		defer heap.Bounded(t)()
		if s, err := parseStat(text); err == nil && !strings.ContainsRune(text, ')') {
			t.Errorf("%+v of %q", s, text)
		}
	})
}
