package admin

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/overview"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/removal"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/storage"
)

// hostile holds what terminals act upon, in words of one and of several bytes.
const hostile = "a\x1b]0;owned\a\r\n\tb\u009b2J\u202e\x00\xff" + `"\`

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"gsx-1 läuft":             "gsx-1 läuft",
		hostile:                   `a\x1b]0;owned\a\r\n\tb\u009b2J\u202e\x00\xff"\`,
		strings.Repeat("é", 1000): strings.Repeat("é", 500) + "... (1000 bytes more)",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// harmless wants text without anything that a terminal acts upon.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%s: %q in %q", what, r, text)
		}
	}
}

// Whatever a label, a container or a process is called, tables of root's are as they are.
func TestHostileNamesInTables(t *testing.T) {
	jobs := []overview.JobState{{
		Identity: job.Identity{Server: hostile, JobID: 1, ProjectID: 2}, Name: hostile, Phase: overview.Running, Stage: hostile,
		Driver: owner.Process{PID: 3, Command: hostile}, Container: hostile, Image: hostile, Left: []string{hostile},
		Storage: &overview.StorageState{Backend: hostile, Driver: hostile},
	}}
	collected := []removal.Collected{{Name: hostile, Action: removal.Kept, Reason: hostile, Resources: []string{hostile}}}
	images := shared.Listing{
		Images:      []storage.StoredImage{{Reference: hostile, Digest: hostile}},
		Generations: []shared.GenerationUse{{Number: 1, Volume: hostile, Jobs: []string{hostile}}},
	}
	for name, c := range map[string]struct {
		print func(out *bytes.Buffer) error
		lines int
	}{
		"ps":     {func(out *bytes.Buffer) error { return psTable(jobs, time.Now(), out) }, 3},
		"gc":     {func(out *bytes.Buffer) error { return gcTable(collected, false, time.Now(), out) }, 3},
		"images": {func(out *bytes.Buffer) error { return imagesTable(images, out) }, 5},
		"metrics": {func(out *bytes.Buffer) error {
			return printFamilies(families(overview.HostState{Jobs: jobs}, metricsOptions{perJob: true, folder: hostile}), out)
		}, 0},
		"JSON of ps":     {func(out *bytes.Buffer) error { return format.WriteJSON(out, jobs) }, 0},
		"JSON of gc":     {func(out *bytes.Buffer) error { return format.WriteJSON(out, collected) }, 0},
		"JSON of images": {func(out *bytes.Buffer) error { return format.WriteJSON(out, images) }, 0},
	} {
		var out bytes.Buffer
		if err := c.print(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		harmless(t, name, out.String())
		if got := strings.Count(out.String(), "\n"); c.lines > 0 && got != c.lines {
			t.Errorf("%s: %d lines, want %d:\n%s", name, got, c.lines, out.String())
		}
	}
	var out bytes.Buffer
	var back []removal.Collected
	valid := []removal.Collected{{Name: strings.ToValidUTF8(hostile, "") + "\U000e0001", Reason: "<&>"}}
	if err := format.WriteJSON(&out, valid); err != nil || json.Unmarshal(out.Bytes(), &back) != nil || !reflect.DeepEqual(back, valid) {
		t.Errorf("%v: %q became %q", err, valid, back)
	}
}
