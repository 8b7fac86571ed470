package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unitFolders are systemd's folders of units (systemd.unit(5)).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

const gcUnit = "gitlab-sysbox-executor-gc"

// checkUnits looks at the timers, above all that of gc, and at the last gc.
func checkUnits(ctx context.Context, m *Machine) []Finding {
	if _, err := os.Stat(m.path("/run/systemd/system")); err != nil {
		return found(OK, "systemd does not run here: "+m.lastGC(), "")
	}
	timer := m.unit(gcUnit + ".timer")
	if timer == "" {
		s := Note // a prepare starts one
		if m.Config.GC.Interval <= 0 {
			s = Warning
		}
		return found(s, "the timer "+gcUnit+".timer is not installed: after a crash leftovers stay until the next job's gc; "+m.lastGC(),
			"install the units (README.md, Install), then: systemctl enable --now "+gcUnit+".timer")
	}
	var all []Finding
	var active []string
	for _, name := range []string{"gc", "metrics", "images"} {
		unit := programName + "-" + name
		if m.unit(unit+".timer") == "" {
			continue
		}
		state := m.show(ctx, unit+".timer", "ActiveState")
		result := m.show(ctx, unit+".service", "Result")
		switch {
		case state != "" && state != "active":
			s := Note
			if name == "gc" {
				s = Warning
			}
			all = append(all, Finding{Severity: s, Text: fmt.Sprintf("%s.timer is %s", unit, state), Next: "systemctl enable --now " + unit + ".timer"})
		case result != "" && result != "success":
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("the last run of %s.service failed (%s)", unit, result), Next: "journalctl -u " + unit + ".service"})
		default:
			active = append(active, name)
		}
		if program := m.program(unit + ".service"); program != "" && !m.isExecutor(program) {
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%s.service starts %s, which is not this executor", unit, program), Next: "systemctl edit --full " + unit + ".service"})
		}
	}
	if len(all) > 0 {
		return all
	}
	return ok("timers: %s; %s", strings.Join(active, ", "), m.lastGC())
}

// lastGC says when the last gc ran, by a timer, a prepare or a person.
func (m *Machine) lastGC() string {
	info, err := os.Stat(m.state().GC())
	if err != nil {
		return "no gc has run yet"
	}
	return "last gc " + time.Since(info.ModTime()).Round(time.Second).String() + " ago"
}

// unit is the path of an installed unit; empty if there is none.
func (m *Machine) unit(name string) string {
	for _, dir := range unitFolders {
		path := m.path(filepath.Join(dir, name))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// program is what a unit starts; empty if it is not known.
func (m *Machine) program(unit string) string {
	text, err := os.ReadFile(m.unit(unit))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if command, is := strings.CutPrefix(strings.TrimSpace(line), "ExecStart="); is && command != "" {
			return strings.Fields(command)[0]
		}
	}
	return ""
}

// show is a property of a unit; empty if systemd does not say it.
func (m *Machine) show(ctx context.Context, unit, property string) string {
	out, err := m.Command(ctx, "systemctl", "show", "--property="+property, "--value", unit)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
