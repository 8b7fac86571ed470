package stages

import (
	"cmp"
	"encoding/json"
	"io"
	"path"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/fault"
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
		"a list that is none":      {`{"variables":{"value":"s3cret"}}`, "something else stands where a list should be"},
		"an object that is none":   {`{"secrets":["s3cret"]}`, "something else stands where an object should be"},
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

// Whatever a payload says: a job's names are numbers and a hash, no variable changes
// them, no contradiction is protected or kept, and its size bounds what it takes.
func FuzzParseJob(f *testing.F) {
	f.Add([]byte(payload))
	f.Add([]byte(`{"image":{"executor_opts":{"docker":{"user":1e3}}}}`))
	f.Add([]byte(`{"git_info":{"repo_url":"::"}}`))
	f.Add([]byte(`{"id":9223372036854775807,"job_info":{"project_id":1},"variables":[{},null],"services":[{"command":null}],"secrets":{"":null}}`))
	f.Add([]byte(`{"id":1,"job_info":{"project_id":2},"variables":[{"key":"CI_COMMIT_REF_PROTECTED","value":"true"}],"Variables":[{"key":"CI_JOB_ID","value":"1"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) { checkPayload(t, text) })
}

// The same with variables, a secret and a word on protection of the author's choice.
func FuzzTrusted(f *testing.F) {
	f.Add("CI_COMMIT_REF_PROTECTED", "true", "CI_COMMIT_REF_PROTECTED", "false", "SECRET", "true")
	f.Add("CI_PROJECT_ID", "4711", "CI_RUNNER_ID=", "1", "CI_RUNNER_ID", "null")
	f.Add("CI_JOB_ID", "2046", "CI_COMMIT_REF_PROTECTED", "true", "CI_COMMIT_REF_PROTECTED", "null")
	f.Add("GIT_CLONE_PATH", "/builds/../x", "CI_CONCURRENT_PROJECT_ID", "0", "CI_PROJECT_DIR", "false")
	f.Add("RUNNER_TEMP_PROJECT_DIR", "/builds/x", "CI_COMMIT_REF_PROTECTED", "", "", "")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2, secret, protected string) {
		git := map[string]any{}
		if protected == "true" || protected == "false" {
			git["protected"] = protected == "true"
		}
		text, err := json.Marshal(map[string]any{
			"id": 2046, "job_info": map[string]any{"project_id": 42}, "git_info": git,
			"variables": []map[string]any{{"key": "CI_JOB_ID", "value": "2046"}, {"key": key1, "value": value1}, {"key": key2, "value": value2}},
			"secrets":   map[string]any{secret: map[string]any{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !checkPayload(t, text) {
			t.Errorf("%s is no payload", text)
		}
	})
}

var noLog = func() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}()

var jobName = regexp.MustCompile(`^gsx-[0-9a-f]{8}-p[1-9][0-9]*-j[1-9][0-9]*$`)

// checkPayload tells whether text is a job's payload, and what is wrong with what is
// made of it.
func checkPayload(t *testing.T, text []byte) bool {
	t.Helper()
	j, err := ParseJob(text)
	if err != nil {
		return false
	}
	if n := footprint(j); n > 128*len(text)+8192 || n > 64<<20 {
		t.Errorf("%d bytes take %d", len(text), n)
	}
	hostile := map[string]string{
		"CI_JOB_ID": "7", "CI_PROJECT_ID": "7", "CI_RUNNER_ID": "7", "CI_CONCURRENT_PROJECT_ID": "7", "CI_COMMIT_REF_PROTECTED": "true",
		"CI_PROJECT_DIR": "/builds/x", "CI_REPOSITORY_URL": "https://evil.example/x.git",
	}
	for _, v := range j.Variables { // as the Runner hands them over
		name, rest, cut := strings.Cut(v.Key, "=")
		if cut {
			rest += "="
		}
		hostile[name] = rest + v.Value
	}
	id, err := (&Call{Job: j}).Identity()
	again, errAgain := (&Call{Job: j, Variables: hostile}).Identity()
	if id != again || (err == nil) != (errAgain == nil) {
		t.Errorf("variables make %+v of %+v", again, id)
	}
	if err != nil {
		return false
	}
	if name := id.Name(); !jobName.MatchString(name) || id.JobID != j.ID || id.ProjectID != j.Info.ProjectID || id.RunnerID < 0 {
		t.Errorf("%+v has the name %q", id, name)
	}
	folders := folders(&Call{Job: j, Variables: hostile}, config.Default(), id, noLog)
	if temp := folders.Temp; temp != "" && (!strings.HasPrefix(temp, "/builds/") || path.Clean(temp) != temp) {
		t.Errorf("what is cleared is %q", temp)
	}
	occurs := func(name string, allowed func(string) bool) {
		for _, v := range j.Variables {
			if key, _, _ := strings.Cut(v.Key, "="); key == name && !allowed(v.Value) {
				t.Errorf("%s=%q, and %+v", v.Key, v.Value, folders)
			}
		}
		for key := range j.Secrets {
			if key, _, _ := strings.Cut(key, "="); key == name {
				t.Errorf("the secret %q, and %+v", key, folders)
			}
		}
	}
	if folders.Protected {
		occurs("CI_COMMIT_REF_PROTECTED", func(value string) bool { return value == "true" })
		if p := j.Git.Protected; p != nil && !*p {
			t.Error("a job that is not protected counts as such")
		}
	}
	if folders.KeepBuilds || folders.KeepCache {
		occurs("CI_PROJECT_ID", func(value string) bool { return value == strconv.FormatInt(id.ProjectID, 10) })
		first := ""
		occurs("CI_COMMIT_REF_PROTECTED", func(value string) bool {
			first = cmp.Or(first, value, "none")
			return value == first || value == "" && first == "none"
		})
	}
	if folders.KeepBuilds {
		for _, name := range []string{"CI_CONCURRENT_PROJECT_ID", "CI_PROJECT_DIR", "GIT_CLONE_PATH", "RUNNER_TEMP_PROJECT_DIR"} {
			occurs(name, func(string) bool { return false })
		}
	}
	return true
}
