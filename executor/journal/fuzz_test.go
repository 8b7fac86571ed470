package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/integration/heap"
)

// FuzzRead reads arbitrary text as a journal. Valid text must be the same after it was written and
// read again, and every operation must work on it.
func FuzzRead(f *testing.F) {
	const name = "gsx-0123abcd-p1-j2"
	whole := Content{
		Schema: Schema, Name: name, Identity: json.RawMessage(`{"job_id":2}`), Started: time.Unix(1, 2).UTC(), Engine: "unix:///x",
		Owner: owner.Process{PID: 1, Started: 2, Command: "c", Boot: "b", Space: "s", Machine: "m", At: 3}, Ended: true, Facts: json.RawMessage(`{}`),
		Resources: []Resource{{Kind: Container, Name: name, Detail: "id", At: time.Unix(3, 0).UTC(), Answered: true, Left: "busy"}, {Kind: "unknown"}},
	}
	text, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(append(text, bytes.Repeat([]byte(" "), 100)...))
	f.Add(text[:len(text)/2])
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		c, err := parse(text, name)
		if err != nil {
			if c.Name != "" || len(c.Resources) > 0 || len(err.Error()) > 2000 {
				t.Errorf("%+v beside %.3000s", c, err)
			}
			return
		}
		if c.Schema != Schema || c.Name != name {
			t.Fatalf("%+v", c)
		}
		written, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		back, err := parse(written, name)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if again, err := json.MarshalIndent(back, "", "  "); err != nil || !bytes.Equal(again, written) {
			t.Errorf("%v\n%s\nhas become\n%s", err, written, again)
		}
		for _, r := range c.Resources {
			if i := c.find(r.Kind, r.Name); i < 0 {
				t.Errorf("%+v is not found", r)
			}
		}
		before := len(c.Resources)
		c.intend(c.Resources)
		if len(c.Resources) != before {
			t.Errorf("%d resources have become %d", before, len(c.Resources))
		}
		// The same applies to a label.
		if p := owner.Parse(c.Owner.String()); p != (owner.Process{}) && owner.Parse(p.String()) != p {
			t.Errorf("%+v", p)
		}
	})
}

// A file that is not a journal needs no more memory than a journal.
func TestReadIsBounded(t *testing.T) {
	dir := t.TempDir()
	const name = "gsx-0123abcd-p1-j2"
	f, err := os.Create(Path(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	_, there, err := Read(dir, name)
	if !there || err == nil || !strings.Contains(err.Error(), "it has more than 16777216 bytes") {
		t.Errorf("%t %v", there, err)
	}
}

// Reading any journal takes no more memory than a driver may use.
func TestLargestJournals(t *testing.T) {
	const name = "gsx-0123abcd-p1-j2"
	fill := func(before, piece, after string) string {
		n := (mostBytes - len(before) - len(after)) / len(piece)
		return before + strings.Repeat(piece, n) + after
	}
	const head, foot = `{"schema":1,"name":"` + name + `",`, `}`
	for what, c := range map[string]struct{ text, err string }{
		"resources":         {head + `"resources":[{}` + strings.Repeat(`,{}`, 700_000) + `]` + foot, "more than 10000 resources"},
		"as many as may be": {head + `"resources":[{}` + strings.Repeat(`,{"name":"\",["}`, mostResources-1) + `]` + foot, ""},
		"one more":          {head + `"resources":[{}` + strings.Repeat(`,{"name":"\",["}`, mostResources) + `]` + foot, "more than 10000 resources"},
		"a long text":       {fill(head+`"resources":[{"detail":"`, `\n`, `"}]`+foot), ""},
		"deeper facts":      {fill(head+`"facts":`, "[", ""), "exceeded max depth"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(Path(dir, name), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			c.text = ""
			defer heap.Bounded(t)()
			_, there, err := Read(dir, name)
			if !there || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%t %v", there, err)
			}
		})
	}
}
