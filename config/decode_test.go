package config

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

// namesOf lists the keys of a section as messages do.
func namesOf[Section any]() string {
	var names []string
	for field := range reflect.TypeFor[Section]().Fields() {
		names = append(names, field.Tag.Get("toml"))
	}
	return strings.Join(names, ", ")
}

func TestUnknownKeys(t *testing.T) {
	top, job, run := namesOf[Config](), namesOf[Job](), namesOf[Run]()
	wantErrors(t, `
imagee = "debian"
tmpdir = "/tmp"
colour = "red"
[job]
imgae = "debian"
Image = "debian"
kill_grace = "10s"
shape = 1
"a.b" = 1
[jobs]
nothing = "said twice"
[fruit.apple]
a = 1
[run.extra]
`,
		`c.toml:2: unknown key imagee; did you mean images?`,
		`c.toml:3: unknown key tmpdir; did you mean storage.tmpdir?`,
		`c.toml:4: unknown key colour; the keys here are `+top,
		`c.toml:6: unknown key job.imgae; did you mean job.image?`,
		`c.toml:7: unknown key job.Image; did you mean job.image?`,
		`c.toml:8: unknown key job.kill_grace; did you mean run.kill_grace?`,
		`c.toml:9: unknown key job.shape; the keys here are `+job,
		`c.toml:10: unknown key job."a.b"; the keys here are `+job,
		`c.toml:11: unknown key jobs; did you mean job?`,
		`c.toml:13: unknown key fruit; the keys here are `+top,
		`c.toml:15: unknown key run.extra; the keys here are `+run)
	// The library keeps no position of an empty key in a table.
	wantErrors(t, "[run]\n\"\" = 1", `c.toml: unknown key run.""; the keys here are `+run)
}

func TestWrongTypes(t *testing.T) {
	wantErrors(t, `
runtime = true
engine = "tcp"
cleanup = [{ timeout = "2m" }]
[resources]
cpus = "2"
pids_limit = 1.5
ulimits = "nofile=1"
[[job]]
image = "debian"
[storage.driver]
name = "vfs"
`,
		`c.toml:2: runtime: found true or false; write a string in quotes`,
		`c.toml:3: engine: found a string; write a table, [engine]`,
		`c.toml:4: cleanup: found a list that contains a table; write a table, [cleanup]`,
		`c.toml:6: resources.cpus: found a string; write a number without quotes`,
		`c.toml:7: resources.pids_limit: found a number with a fraction; write a whole number without quotes`,
		`c.toml:8: resources.ulimits: found a string; write a list of strings, ["…", "…"]`,
		`c.toml:9: job: found a list of tables; write a table, [job]`,
		`c.toml:11: storage.driver: found a table; write a string in quotes`)
}

// TestLines covers the ways in which TOML spreads keys over lines.
func TestLines(t *testing.T) {
	tests := []struct {
		name, data string
		want       map[string]int
	}{
		{"tables", "# c\n\n[job] # c\nimage = \"\" # c\n[run]\n", map[string]int{"job": 3, "job.image": 4, "run": 5}},
		{"dotted keys", "\njob.image = \"\"\njob . \"user\" = \"\"\n", map[string]int{"job": 2, "job.image": 2, "job.user": 3}},
		{"inline table", "\njob = { image = \"\", user = \"\" }", map[string]int{"job": 2, "job.image": 2, "job.user": 2}},
		{"implied table", "\n\n[x.y]\na = 1\n", map[string]int{"x": 3}},
		{"implied then defined", "[x.y]\n[x]\n", map[string]int{"x": 2}},
		{"multi-line string", "job.image = \"\"\"\n[run]\nkill_grace = 1\n\"\"\"\njob.user = '''\n\n'''\nruntime = \"\"",
			map[string]int{"job": 1, "job.image": 1, "job.user": 5, "runtime": 8}},
		{"multi-line list", "[job]\nenvironment = [\n# c\n\"A=1\", # user = 5\n\"B=\\\"]\",\n]\nuser = \"\"\n",
			map[string]int{"job": 1, "job.environment": 2, "job.user": 7}},
		{"carriage returns", "[job]\r\nimage = \"\"\r\n\r\nuser = \"\"\r\n", map[string]int{"job": 1, "job.image": 2, "job.user": 4}},
		{"byte order mark", "\ufeff\n[job]\nimage = \"\"\n", map[string]int{"job": 2, "job.image": 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newChecker("c.toml")
			if !decode(tt.data, Default(), k) {
				t.Fatal(k.err())
			}
			if !maps.Equal(k.lines, tt.want) {
				t.Errorf("got %v\nwant %v", k.lines, tt.want)
			}
		})
	}
}
