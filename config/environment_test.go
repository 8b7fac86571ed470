package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	const form = ` is not NAME=value with a name of letters, digits, "_", "." and "-"; write for example "LANG=C.UTF-8"`
	const paths = `SYSBOX_SKIP_UID_SHIFT is not a list of absolute paths without spaces or "="; write for example "SYSBOX_SKIP_UID_SHIFT=/var/lib/a,/var/lib/b"`
	tests := []struct{ variable, wrong string }{
		{"A=", ""},
		{"A=b=c d", ""},
		{"spring.profiles=x", ""},
		{"SYSBOX_HONOR_CAPS=TRUE", ""},
		{"SYSBOX_IGNORE_SYSFS_CHOWN=FALSE", ""},
		{"SYSBOX_ALLOW_TRUSTED_XATTR=TRUE", ""},
		{"SYSBOX_SYSCONT_MODE=FALSE", ""},
		{"SYSBOX_SKIP_UID_SHIFT=/a,/b", ""},
		{"secret", "entry 2" + form},
		{"=secret", "entry 2" + form},
		{"secret+/x==", "entry 2" + form},
		{"1A=secret", "entry 2" + form},
		{"A=sec\x00ret", "A has a NUL character in its value, which a variable cannot contain; remove it"},
		{"LANG=secret", "LANG is set twice; keep one"},
		{"TMPDIR=/secret", "TMPDIR has a key of its own; write storage.tmpdir instead"},
		{"STORAGE_DRIVER=secret", "STORAGE_DRIVER has a key of its own; write storage.driver instead"},
		{"BUILDAH_ISOLATION=secret", "BUILDAH_ISOLATION has a key of its own; write storage.isolation instead"},
		{"SYSBOX_HONOR_CAPS=true", `SYSBOX_HONOR_CAPS is neither TRUE nor FALSE; write for example "SYSBOX_HONOR_CAPS=TRUE"`},
		{"SYSBOX_SECRET=secret", "SYSBOX_SECRET is unknown to Sysbox, which would refuse to create the container; it knows SYSBOX_ALLOW_TRUSTED_XATTR, SYSBOX_HONOR_CAPS, SYSBOX_IGNORE_SYSFS_CHOWN, SYSBOX_SYSCONT_MODE, SYSBOX_SKIP_UID_SHIFT"},
		{"SYSBOX_SKIP_UID_SHIFT=", paths},
		{"SYSBOX_SKIP_UID_SHIFT=/a,secret", paths},
		{"SYSBOX_SKIP_UID_SHIFT=/a, /secret", paths},
		{"SYSBOX_SKIP_UID_SHIFT=/a=secret", paths},
	}
	for _, tt := range tests {
		t.Run(tt.variable, func(t *testing.T) {
			var want []string
			if tt.wrong != "" {
				want = []string{"c.toml:2: job.environment: " + tt.wrong}
			}
			quoted := strings.ReplaceAll(fmt.Sprintf("%q", tt.variable), `\x00`, `\u0000`)
			data := fmt.Sprintf("[job]\nenvironment = [\n\"LANG=C\",\n%s ]", quoted)
			wantErrors(t, data, want...)
			if _, err := parse("c.toml", data); err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a value leaks: %v", err)
			}
		})
	}
}

func TestEnvironmentOfAnotherTypeIsNotEchoed(t *testing.T) {
	for data, want := range map[string]string{
		`job.environment = "A=secret"`:                  "c.toml:1: job.environment: found a string; write a list of strings, [\"…\", \"…\"]",
		`job.environment = ["A=secret", 5]`:             "c.toml:1: job.environment: found a list that contains a whole number; write a list of strings, [\"…\", \"…\"]",
		"[job.environment]\nA = \"secret\"":             "c.toml:1: job.environment: found a table; write a list of strings, [\"…\", \"…\"]",
		"[[job.environment]]\nA = \"secret\"":           "c.toml:1: job.environment: found a list of tables; write a list of strings, [\"…\", \"…\"]",
		`job.environment = { A = "secret" }`:            "c.toml:1: job.environment: found a table; write a list of strings, [\"…\", \"…\"]",
		`job.environment = ["A=secret", { b = "c" } ]`:  "c.toml:1: job.environment: found a list that contains a table; write a list of strings, [\"…\", \"…\"]",
		`job.environment = ["A=secret", ["B=secret"] ]`: "c.toml:1: job.environment: found a list that contains a list; write a list of strings, [\"…\", \"…\"]",
	} {
		wantErrors(t, data, want)
	}
}
