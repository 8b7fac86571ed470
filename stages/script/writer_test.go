package script

import "strings"

// writer writes a step script as BashWriter does in shells/bash.go, with the
// calls of AbstractShell.writeUserScript, for variables and commands of a
// test's choice.
type writer struct {
	posix    bool // FF_POSIXLY_CORRECT_ESCAPES
	frame    int  // which of frames
	source   bool // reads the file of GITLAB_ENV as 16.4 to 17.6 did
	noEnv    bool // has no such file, as before 16.4
	dir      string
	vars     []Variable
	files    []Variable
	commands []string
}

func (w writer) script() []byte {
	var b strings.Builder
	export := func(name, value string) {
		b.WriteString("export " + w.quote(name) + "=" + w.quote(value) + "\n")
	}
	tmp := w.dir + "/p.tmp"
	export("FF_TEST_FEATURE", "false")
	for _, v := range w.vars {
		export(v.Name, v.Value)
	}
	for _, v := range w.files {
		path := `"` + tmp + "/" + v.Name + `"`
		b.WriteString(`mkdir -p "` + tmp + "\"\n")
		b.WriteString("printf '%s' " + w.quote(v.Value) + " > " + path + "\n")
		b.WriteString("export " + w.quote(v.Name) + "=" + path + "\n")
	}
	if !w.noEnv {
		file := `"` + tmp + `/gitlab_runner_env"`
		export("GITLAB_ENV", tmp+"/gitlab_runner_env")
		b.WriteString(`mkdir -p "` + tmp + "\"\ntouch " + file + "\n")
		if w.source {
			b.WriteString("set -o allexport\nsource " + file + " set\nset +o allexport\n")
		} else {
			b.WriteString(`while read -r line; do export "$line"; done < ` + file + "\n")
		}
	}
	b.WriteString("cd " + w.quote(w.dir) + "\n")
	for _, c := range w.commands {
		first, _, several := strings.Cut(c, "\n")
		if several {
			first += collapsed
		}
		b.WriteString("echo " + w.quote(announce+first+reset) + "\n" + c + "\n")
	}

	head := "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n" +
		`case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit` + "\n" +
		"set +o noclobber\n"
	f := frames[w.frame]
	return []byte(head + f.before + w.quote(b.String()) + f.after + trailer)
}

// quote is ShellEscape or PosixShellEscape of helpers/shell_escape.go.
func (w writer) quote(s string) string {
	if s == "" {
		return "''"
	}
	q := ansiC
	quoted := false
	if w.posix {
		q = double
		quoted = strings.ContainsAny(s, "`\"\\$ !#%&()*<=>?[|")
	} else {
		quoted = strings.ContainsFunc(s, func(r rune) bool {
			return !strings.ContainsRune(",-./0123456789@_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", r)
		})
	}
	if !quoted {
		return s
	}
	word := []byte(q.opening())
	for _, c := range []byte(s) {
		word = q.escape(word, c)
	}
	return string(append(word, word[len(q.opening())-1]))
}
