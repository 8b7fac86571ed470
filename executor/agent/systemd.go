package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Systemd is what became of a boot.
type Systemd struct {
	// State is what `systemctl is-system-running` says (systemctl(1)); empty when
	// it never answered.
	State  string   `json:"state"`
	Failed []string `json:"failed,omitempty"` // units
	// Waiting are units that had not come up in time.
	Waiting []string      `json:"waiting,omitempty"`
	Took    time.Duration `json:"took"`
}

// MostUnits bounds what is told of units.
const MostUnits = 10

// awaitSystemd waits until systemd has booted, for at most limit. Its error says
// why there is no systemd to wait for.
func awaitSystemd(limit time.Duration) (Systemd, error) {
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return Systemd{}, errors.New("it has no systemctl: is systemd installed in it?")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	var s Systemd
	var said string
	for {
		s.State, said = systemState(ctx, path)
		if !slices.Contains([]string{"", "offline", "unknown", "initializing", "starting"}, s.State) {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		break
	}
	s.Took = time.Since(began)
	switch s.State {
	case "", "offline", "unknown":
		return s, fmt.Errorf("systemd has not answered within %s: %s", limit, said)
	case "maintenance", "stopping":
		return s, fmt.Errorf("systemd has gone into the state %q instead of booting", s.State)
	}
	s.Failed = unitsIn(path, "list-units", "--failed", "--all")
	if s.State == "initializing" || s.State == "starting" {
		s.Waiting = unitsIn(path, "list-jobs")
	}
	return s, nil
}

// systemState is what systemctl says, and all that it wrote.
func systemState(ctx context.Context, path string) (state, said string) {
	c := exec.CommandContext(ctx, path, "is-system-running")
	c.WaitDelay = time.Second
	out, _ := c.CombinedOutput() // the exit code says no more than the word
	said = strings.TrimSpace(string(out))
	if word, _, _ := strings.Cut(said, "\n"); !strings.Contains(word, " ") {
		return word, said
	}
	return "", said
}

// units is the column of units in one of systemctl's lists.
func unitsIn(path string, list ...string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append(list, "--no-legend", "--plain", "--no-pager")...).Output()
	if err != nil {
		return nil
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && list[0] == "list-jobs" {
			fields = fields[1:] // the job's number comes first
		}
		if len(fields) > 0 && len(all) < MostUnits {
			all = append(all, fields[0])
		}
	}
	return all
}
