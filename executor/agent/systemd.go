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

// Systemd is the result of a boot.
type Systemd struct {
	// State is the output of `systemctl is-system-running` (systemctl(1)); empty if it never
	// answered.
	State  string   `json:"state"`
	Failed []string `json:"failed,omitempty"` // units
	// Waiting are units that did not start in time.
	Waiting []string      `json:"waiting,omitempty"`
	Took    time.Duration `json:"took"`
}

// MostUnits is the largest number of units in a report.
const MostUnits = 10

// awaitSystemd waits at most limit until systemd has booted. It fails if there is no systemd, or
// if it does not boot.
func awaitSystemd(limit time.Duration) (Systemd, error) {
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return Systemd{}, errors.New("the image has no systemctl: is systemd installed in it?")
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
		return s, fmt.Errorf("systemd did not answer within %s: %s", limit, said)
	case "maintenance", "stopping":
		return s, fmt.Errorf("systemd entered the state %q instead of booting", s.State)
	}
	s.Failed = unitsIn(path, "list-units", "--failed", "--all")
	if s.State == "initializing" || s.State == "starting" {
		s.Waiting = unitsIn(path, "list-jobs")
	}
	return s, nil
}

// systemState returns the state that systemctl reports, and its whole output.
func systemState(ctx context.Context, path string) (state, said string) {
	c := exec.CommandContext(ctx, path, "is-system-running")
	c.WaitDelay = time.Second
	out, _ := c.CombinedOutput() // the exit code adds nothing to the word
	said = strings.TrimSpace(string(out))
	if word, _, _ := strings.Cut(said, "\n"); !strings.Contains(word, " ") {
		return word, said
	}
	return "", said
}

// unitsIn returns the column of units in one of systemctl's lists.
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
			fields = fields[1:] // the first column is the number of the systemd job
		}
		if len(fields) > 0 && len(all) < MostUnits {
			all = append(all, fields[0])
		}
	}
	return all
}
