// Package doctor checks whether this machine can run jobs, and says for each thing that is not
// right what to do. Each check is an entry of a table; it reads one part of the machine and
// changes nothing.
package doctor

import (
	"context"
	"fmt"
	"slices"
)

// Severity is how much a finding matters.
type Severity string

// The severities, in their order.
const (
	OK      Severity = "ok"
	Note    Severity = "note"    // worth knowing, nothing to do at once
	Warning Severity = "warning" // jobs run, but with less isolation, speed or safety
	Error   Severity = "error"   // jobs do not run
)

var order = []Severity{OK, Note, Warning, Error}

// Above reports whether s is more severe than other.
func (s Severity) Above(other Severity) bool {
	return slices.Index(order, s) > slices.Index(order, other)
}

// Finding is the result of a check. Its texts may contain text of other users.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Next     string   `json:"next,omitempty"` // what to do; empty for OK

	fix func(context.Context) (string, error)
}

// Fix is a repair of one finding.
type Fix struct {
	Check string `json:"check"`
	Text  string `json:"text"` // what was done, or why it was not
	Done  bool   `json:"done"`
}

// Worst is the highest severity of all findings.
func Worst(all []Finding) Severity {
	worst := OK
	for _, f := range all {
		if f.Severity.Above(worst) {
			worst = f.Severity
		}
	}
	return worst
}

// necessary are the checks without which no job can run.
var necessary = []string{"configuration", "engine", "runtime", "sysbox", "namespaces", "storage", "volume disk", "engine disk"}

// Blocked is the first check with an error that makes every job fail; empty if there is none.
func Blocked(all []Finding) string {
	for _, f := range all {
		if f.Severity == Error && slices.Contains(necessary, f.Check) {
			return f.Check
		}
	}
	return ""
}

// check examines one part of the machine.
type check struct {
	name string
	run  func(context.Context, *Machine) []Finding
}

// checks is the table of all checks, in the order of their output.
var checks = []check{
	{"user", checkUser},
	{"configuration", checkConfiguration},
	{"engine", checkEngine},
	{"runtime", checkRuntime},
	{"sysbox", checkSysbox},
	{"kernel", checkKernel},
	{"namespaces", checkNamespaces},
	{"id-mapping", checkIDMapping},
	{"cgroup", checkCgroup},
	{"sysctl", checkSysctls},
	{"binfmt_misc", checkBinfmt},
	{"sub-ids", checkSubIDs},
	{"clock", checkClock},
	{"storage", checkStorage},
	{"volume disk", checkVolumeDisk},
	{"engine disk", checkEngineDisk},
	{"runner", checkRunner},
	{"files", checkFiles},
	{"units", checkUnits},
	{"jobs", checkJobs},
	{"quarantine", checkQuarantine},
}

// Examine runs all checks. A check without a finding is left out.
func Examine(ctx context.Context, m *Machine) []Finding {
	var all []Finding
	table := checks
	if m.Cluster != nil {
		table = clusterChecks
	}
	for _, c := range table {
		for _, f := range c.run(ctx, m) {
			f.Check = c.name
			all = append(all, f)
		}
	}
	return all
}

// Repair does what is safe for the findings that can be repaired: the modes of the executor's own
// files, its folders, and the removal of leftovers.
func Repair(ctx context.Context, all []Finding) []Fix {
	var fixes []Fix
	for _, f := range all {
		if f.fix == nil {
			continue
		}
		did, err := f.fix(ctx)
		if err != nil {
			fixes = append(fixes, Fix{Check: f.Check, Text: err.Error()})
			continue
		}
		fixes = append(fixes, Fix{Check: f.Check, Text: did, Done: true})
	}
	return fixes
}

// found returns a list with one finding.
func found(s Severity, text, next string) []Finding {
	return []Finding{{Severity: s, Text: text, Next: next}}
}

func ok(format string, args ...any) []Finding { return found(OK, fmt.Sprintf(format, args...), "") }
