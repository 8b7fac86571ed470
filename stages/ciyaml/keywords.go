package ciyaml

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// understood are the keys of a job that Read reads.
var understood = map[string]bool{
	"after_script": true, "before_script": true, "extends": true, "image": true, "inherit": true, "script": true, "services": true, "stage": true, "variables": true,
}

// others are keys of a job that have no effect, each with what that means for the job
// (https://docs.gitlab.com/ci/yaml/#job-keywords).
var others = map[string]string{
	"allow_failure":       "the exit code is that of the script",
	"artifacts":           "no file is kept",
	"cache":               "no file of another job is there",
	"coverage":            "no coverage is read",
	"dast_configuration":  "no scan is configured",
	"dependencies":        "no artifact of another job is there",
	"environment":         "no deployment is recorded, and its variables are not set",
	"except":              "the job runs whatever it says",
	"hooks":               "they do not run",
	"id_tokens":           "the variables are not set",
	"identity":            "the job has no identity at a cloud",
	"interruptible":       "no pipeline cancels the job",
	"manual_confirmation": "nobody is asked",
	"needs":               "no artifact of another job is there",
	"only":                "the job runs whatever it says",
	"pages":               "no page is published",
	"parallel":            "the job runs once, without the variables of a matrix",
	"publish":             "no page is published",
	"release":             "no release is made",
	"resource_group":      "the job does not wait for others",
	"retry":               "the job runs once",
	"rules":               "the job runs whatever they say, without their variables",
	"run":                 "its steps do not run",
	"secrets":             "the variables are not set",
	"start_in":            "the job runs at once",
	"tags":                "the job runs on this machine",
	"timeout":             "the job has no time limit",
	"trigger":             "no pipeline starts",
	"when":                "the job runs whatever it says",
}

// rootOthers are keys of the file.
var rootOthers = map[string]string{
	"include":  "the files that it names are not read",
	"types":    "write stages",
	"workflow": "the job runs whatever it says",
}

// noteUnknown names what Read does not understand in the file and in the job.
func (r *reader) noteUnknown(own, c *yaml.Node) {
	for key := range pairs(r.root) {
		if means, ok := rootOthers[key.Value]; ok {
			r.note(key, "%s is not understood: %s", key.Value, means)
		}
	}
	for key := range pairs(get(r.root, "default")) {
		if !understood[key.Value] && others[key.Value] == "" {
			r.note(key, "default:%.100q is not a keyword that is known: it has no effect", key.Value)
		}
	}
	for key := range pairs(get(own, "inherit")) {
		if key.Value != "default" && key.Value != "variables" {
			r.note(key, "inherit:%.100q is not a keyword that is known: it has no effect", key.Value)
		}
	}
	for key, value := range pairs(c) {
		means, known := others[key.Value]
		switch {
		case understood[key.Value], isNull(value), strings.HasPrefix(key.Value, "."):
		case known:
			r.note(key, "%s is not understood: %s", key.Value, means)
		default:
			r.note(key, "%.100q is not a keyword that is known: it has no effect", key.Value)
		}
	}
}
