package contract

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/integration/heap"
)

// repeat is n times text with commas between.
func repeat(text string, n int) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }

// No payload, whatever the job's author has put into it, takes more memory than a
// driver may have.
func TestPayloadIsBounded(t *testing.T) {
	const all = mostPayload / 4
	service := `{"command":[` + repeat(`""`, mostFew) + `],"variables":[` + repeat(`{}`, mostFew) + `]}`
	for name, c := range map[string]struct {
		text string
		err  string
	}{
		"services":                 {`{"services":[` + repeat(`{}`, all) + `]}`, "more than 500 elements"},
		"variables":                {`{"variables":[` + repeat(`{}`, all) + `]}`, "more than 20000 elements"},
		"artifacts":                {`{"artifacts":[` + repeat(`0`, all) + `]}`, "more than 20000 elements"},
		"credentials":              {`{"credentials":[` + repeat(`{}`, all) + `]}`, "more than 500 elements"},
		"secrets":                  {`{"secrets":{` + repeatNames(all/4) + `}}`, "more than 500 members"},
		"a service's variables":    {`{"services":[{"variables":[` + repeat(`{}`, all) + `]}]}`, "more than 500 elements"},
		"an entrypoint":            {`{"image":{"entrypoint":[` + repeat(`""`, all) + `]}}`, "more than 500 elements"},
		"as many as there may be":  {`{"services":[` + repeat(service, mostFew) + `],"variables":[` + repeat(`{}`, mostMany) + `]}`, ""},
		"a long script":            {`{"steps":[{"script":["` + strings.Repeat("x", mostPayload-1000) + `"]}]}`, ""},
		"too long a script":        {`{"steps":[{"script":["` + strings.Repeat("x", mostPayload) + `"]}]}`, "more than 16777216 bytes"},
		"one long value":           {`{"variables":[{"value":"` + strings.Repeat("x", mostPayload-1000) + `"}]}`, ""},
		"a list that is none":      {`{"variables":{"value":"s3cret"}}`, "it has another value in place of a list"},
		"an object that is none":   {`{"secrets":["s3cret"]}`, "it has another value in place of an object"},
		"a list and then an error": {`{"variables":[{"value":"s3cret"},]}`, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(c.text)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			j, err := ParseJob(text)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%.300v", err)
			}
			if err != nil && strings.Contains(c.err, "more than") != (fault.ClassOf(err) == fault.Job) {
				t.Errorf("class of %v: %v", err, fault.ClassOf(err))
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Error(err)
			}
			if kept, made := int64(after.HeapAlloc)-int64(before.HeapAlloc), after.TotalAlloc-before.TotalAlloc; kept > 40<<20 || made > 100<<20 {
				t.Errorf("keeps %d bytes, made %d", kept, made)
			}
			runtime.KeepAlive(text)
			runtime.KeepAlive(j)
		})
	}
}

// repeatNames is n members of an object with different names.
func repeatNames(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for rest := i; rest > 0; rest /= 26 {
			b.WriteByte('a' + byte(rest%26))
		}
		b.WriteString(`":{}`)
	}
	return b.String()
}

// footprint is how many bytes a job takes beside the text that it was read from.
func footprint(j *Job) int {
	n := int(unsafe.Sizeof(*j))
	variables := func(list []Variable) {
		n += cap(list) * int(unsafe.Sizeof(Variable{}))
		for _, v := range list {
			n += len(v.Key) + len(v.Value)
		}
	}
	words := func(lists ...[]string) {
		for _, list := range lists {
			n += cap(list) * int(unsafe.Sizeof(""))
			for _, w := range list {
				n += len(w)
			}
		}
	}
	variables(j.Variables)
	n += cap(j.Services) * int(unsafe.Sizeof(Image{}))
	for _, i := range append(j.Services[:len(j.Services):len(j.Services)], j.Image) {
		n += len(i.Name) + len(i.Alias) + len(i.Options.Docker.Platform) + len(i.Options.Docker.User)
		variables(i.Variables)
		words(i.Command, i.Entrypoint, i.PullPolicies)
	}
	n += cap(j.Credentials) * int(unsafe.Sizeof(Credentials{}))
	for name := range j.Secrets {
		n += len(name) + 64
	}
	n += cap(j.Cache) * int(unsafe.Sizeof(Cache{}))
	return n
}

// Whatever a payload says, its size bounds what it takes.
func FuzzParseJob(f *testing.F) {
	f.Add([]byte(payload))
	f.Add([]byte(`{"image":{"executor_opts":{"docker":{"user":1e3}}}}`))
	f.Add([]byte(`{"git_info":{"repo_url":"::"}}`))
	f.Add([]byte(`{"id":9223372036854775807,"job_info":{"project_id":1},"variables":[{},null],"services":[{"command":null}],"secrets":{"":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		j, err := ParseJob(text)
		if err != nil {
			return
		}
		if n := footprint(j); n > 128*len(text)+8192 || n > 64<<20 {
			t.Errorf("%d bytes take %d", len(text), n)
		}
	})
}
