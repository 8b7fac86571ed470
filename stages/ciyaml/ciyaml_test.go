package ciyaml

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const file = `.setup: &setup
  before_script:
    - echo setup
    - [echo nested, [echo deeper]]
  variables: {SHARED: setup, FROM: setup}
.base:
  extends: .root
  image: {name: "base:$TAG", entrypoint: [""]}
  variables: {FROM: base}
  services: [redis:7]
.root:
  tags: [docker]
  image: {name: root, docker: {user: 1000}}
  variables: {ROOT: root, FROM: root}
default:
  after_script: [echo default after]
  image: default
  retry: 2
variables:
  GLOBAL: global
  NUMBER: 1.10
  OCTAL: 010
  TAG: {value: "1", description: a tag}
  PLAIN: {value: $GLOBAL, expand: false}
stages: [make, check]
build:
  stage: make
  extends: [.base]
  <<: *setup
  rules:
    - if: $CI
  variables:
    GLOBAL: job
    FROM: job
  script: !reference [.scripts, all]
  needs: []
.scripts:
  all:
    - make
    - !reference [.scripts, more]
  more: |
    if true; then
      echo "a: b"
    fi
check it:
  stage: check
  image:
    name: check
    pull_policy: [if-not-present, always]
    docker: {platform: linux/arm64, user: "1:2"}
  inherit: {default: [image], variables: [TAG]}
  services:
    - name: postgres:15
      alias: db, sql
      entrypoint: [run]
      command: ["-c", "x"]
      variables: {POSTGRES_PASSWORD: x}
  script: make check
  unknown: 1
include: other.yml
`

func TestJobs(t *testing.T) {
	for name, want := range map[string]Job{
		"build": {
			Name: "build", Stage: "make",
			Image:    Image{Name: "base:$TAG", Entrypoint: []string{""}, User: "1000"},
			Services: []Image{{Name: "redis:7"}},
			Variables: []Variable{{Name: "GLOBAL", Value: "job"}, {Name: "NUMBER", Value: "1.1"}, {Name: "OCTAL", Value: "8"}, {Name: "TAG", Value: "1"},
				{Name: "PLAIN", Value: "$GLOBAL", Raw: true}, {Name: "ROOT", Value: "root"}, {Name: "FROM", Value: "job"}},
			Script: []string{"echo setup", "echo nested", "echo deeper", "make", "if true; then\n  echo \"a: b\"\nfi\n"},
			After:  []string{"echo default after"},
			Notes: []string{
				"ci.yml:60: include is not understood: the files that it names are not read",
				"ci.yml:12: tags is not understood: the job runs on this machine",
				"ci.yml:30: rules is not understood: the job runs whatever they say, without their variables",
				"ci.yml:36: needs is not understood: no artifact of another job is there",
				"ci.yml:18: retry is not understood: the job runs once",
			},
		},
		"check it": {
			Name: "check it", Stage: "check",
			Image: Image{Name: "check", PullPolicy: []string{"if-not-present", "always"}, User: "1:2", Platform: "linux/arm64"},
			Services: []Image{{Name: "postgres:15", Alias: "db, sql", Entrypoint: []string{"run"}, Command: []string{"-c", "x"},
				Variables: []Variable{{Name: "POSTGRES_PASSWORD", Value: "x"}}}},
			Variables: []Variable{{Name: "TAG", Value: "1"}},
			Script:    []string{"make check"},
			Notes: []string{
				"ci.yml:60: include is not understood: the files that it names are not read",
				`ci.yml:59: "unknown" is not a keyword that is known: it has no effect`,
			},
		},
	} {
		got, err := Read("ci.yml", []byte(file), name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	bomb := "a0: &a0 {script: x}\n"
	for n := range 30 {
		bomb += fmt.Sprintf("a%d: &a%[1]d [*a%d, *a%[2]d]\n", n+1, n)
	}
	deep := "j: {script: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}"
	chain := "j: {extends: .a0}\n"
	for n := range 12 {
		chain += fmt.Sprintf(".a%d: {extends: .a%d}\n", n, n+1)
	}
	for name, c := range map[string]struct{ text, job, want string }{
		"no YAML":              {"a: b\nc: [", "j", "ci.yml: "},
		"empty":                {"", "j", "ci.yml: the file is empty"},
		"no mapping":           {"- a", "j", "ci.yml:1: the file is no mapping of jobs"},
		"second document":      {"a: {}\n---\nb: {}", "j", "ci.yml:3: the file has a second document"},
		"no job":               {"variables: {A: b}", "j", `ci.yml: it has no job "j", nor any other`},
		"another job":          {"build: {script: x}\ntest: {script: x}", "buidl", `it has no job "buidl"; do you mean "build"? It has: build, test`},
		"a keyword":            {"variables: {A: b}\nj: {script: x}", "variables", `it has no job "variables"`},
		"a hidden job":         {".j: {script: x}", ".j", `".j" is a hidden job`},
		"no mapping as a job":  {"j: x", "j", "ci.yml:1: j is no job"},
		"no script":            {"j:\n  image: x", "j", "ci.yml:2: job j has no script"},
		"script taken away":    {".b: {script: x}\nj:\n  extends: .b\n  script: null", "j", "job j has no script"},
		"mapping in a script":  {"j:\n  script:\n    - echo a: b", "j", "ci.yml:3: a line of script is a mapping; a line with a colon and a space needs quotes"},
		"boolean in a script":  {"j:\n  script:\n    - true", "j", `ci.yml:3: script: GitLab does not read true as a text; write "true"`},
		"boolean variable":     {"j:\n  script: x\n  variables:\n    A: yes", "j", `ci.yml:4: the variable A: GitLab does not read yes as a text; write "yes"`},
		"empty variable":       {"j:\n  script: x\n  variables:\n    A:", "j", `ci.yml:4: the variable A:`},
		"variable's name":      {"j:\n  script: x\n  variables:\n    A=B: c", "j", `ci.yml:4: "A=B" is not the name of a variable`},
		"list of variables":    {"j:\n  script: x\n  variables: [a]", "j", "ci.yml:3: variables is no mapping"},
		"extends nothing":      {"j:\n  extends: .no\n  script: x", "j", `ci.yml:2: j extends ".no", which the file does not have`},
		"extends itself":       {".a: {extends: .b}\n.b: {extends: .a}\nj: {extends: .a}", "j", ".a extends itself: j, .a, .b, .a"},
		"extends too far":      {chain, "j", "more than 11 levels deep"},
		"reference to nothing": {"j:\n  script:\n    - !reference [.no, script]", "j", `ci.yml:3: !reference [.no, script]: there is no ".no"`},
		"reference to itself":  {"j:\n  script:\n    - !reference [j, script]", "j", "!reference [j, script] leads to itself"},
		"reference of a text":  {"j:\n  script: !reference x", "j", "ci.yml:2: !reference takes a list of keys"},
		"unknown stage":        {"j:\n  script: x\n  stage: other", "j", `ci.yml:3: stage "other" is none of the file's stages: .pre, build`},
		"merge of a text":      {"j:\n  <<: x\n  script: x", "j", "ci.yml:2: << takes a mapping"},
		"service without name": {"j:\n  script: x\n  services:\n    - alias: a", "j", "ci.yml:4: services has no name"},
		"image with alias":     {"j:\n  script: x\n  image:\n    name: a\n    alias: b", "j", "ci.yml:5: image:alias: only services have it"},
		"anchors":              {bomb, "j", "with its anchors replaced the file has more than 100000 values"},
		"depth":                {deep, "j", "nested more than"},
		"size":                 {strings.Repeat("#", mostBytes+1), "j", "more than 1048576 bytes"},
	} {
		if got, err := Read("ci.yml", []byte(c.text), c.job); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestNotes(t *testing.T) {
	text := "spec:\n  inputs: {}\n---\nj:\n  script: x\n  script: y\n  image: {name: a, kubernetes: {user: 1}, docker: {x: 1}}\n"
	got, err := Read("ci.yml", []byte(text), "j")
	want := []string{
		"ci.yml:1: spec is not understood: inputs have no values",
		`ci.yml:6: "script" is also in line 5: the last one counts`,
		"ci.yml:7: image:kubernetes is not understood: it has no effect",
		"ci.yml:7: image:docker:x is not understood: it has no effect",
	}
	if err != nil || !reflect.DeepEqual(got.Notes, want) || !reflect.DeepEqual(got.Script, []string{"y"}) {
		t.Errorf("%v %q %q", err, got.Script, got.Notes)
	}
}

// FuzzRead: nothing panics, and what is read is bounded.
func FuzzRead(f *testing.F) {
	f.Add([]byte(file), "build")
	f.Add([]byte("a: &a [*a]\nj: {script: !reference [a]}"), "j")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		j, err := Read("ci.yml", text, name)
		if err == nil && (j.Name != name || j.Script == nil) {
			t.Errorf("%+v", j)
		}
	})
}
