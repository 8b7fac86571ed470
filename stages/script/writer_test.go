package script

import (
	"fmt"
	"strings"
)

// How the Runner colours its messages (helpers/ansi_colors.go).
const (
	announce  = "\x1b[32;1m$ "
	reset     = "\x1b[0;m"
	collapsed = " # collapsed multi-line command"
)

// frames are the ways in which the Runner has its script evaluated.
var frames = []string{"(trap 'exit 1' TERM; eval %s) < /dev/null\n", ": | (eval %s)\n", ": | eval %s\n"}

// writer writes a step script as BashWriter does in shells/bash.go, with the
// calls of AbstractShell.writeUserScript, for variables and commands of a
// test's choice.
type writer struct {
	posix    bool // FF_POSIXLY_CORRECT_ESCAPES
	frame    int  // which of frames
	source   bool // reads the file of GITLAB_ENV as 16.4 to 17.6 did
	noEnv    bool // has no such file, as before 16.4
	sections bool // FF_SCRIPT_SECTIONS
	dir      string
	vars     []Variable
	files    []Variable
	commands []string
}

func (w writer) script() []byte { return w.frameOf(w.body()) }

// frameOf is BashWriter.Finish.
func (w writer) frameOf(body string) []byte {
	head := "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n" +
		`case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit` + "\n" +
		"set +o noclobber\n"
	return []byte(head + fmt.Sprintf(frames[w.frame], w.quote(body)) + "exit 0\n")
}

func (w writer) body() string {
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
	for i, c := range w.commands {
		first, _, several := strings.Cut(c, "\n")
		if several && w.sections {
			const date = ":$(awk 'BEGIN{srand(); print srand()}'):section_script_step_"
			fmt.Fprintf(&b, "printf '%%b\\n' section_start%s%d[hide_duration=true,collapsed=true]\r\x1b[0K%s\n", date, i, w.quote(announce+c+reset))
			fmt.Fprintf(&b, "printf '%%b\\n' section_end%s%d\r\x1b[0K\n%s\n", date, i, c)
			continue
		}
		if several {
			first += collapsed
		}
		b.WriteString("echo " + w.quote(announce+first+reset) + "\n" + c + "\n")
	}
	return b.String()
}

// quote is ShellEscape or PosixShellEscape of helpers/shell_escape.go.
func (w writer) quote(s string) string {
	if s == "" {
		return "''"
	}
	if w.posix {
		quoted := strings.NewReplacer("`", "\\`", `"`, `\"`, `\`, `\\`, `$`, `\$`).Replace(s)
		if quoted != s || strings.ContainsAny(s, " !#%&()*<=>?[|") {
			return `"` + quoted + `"`
		}
		return s
	}
	var b strings.Builder
	plain := true
	for _, c := range []byte(s) {
		i := strings.IndexByte("\a\b\t\n\v\f\r'\\", c)
		switch {
		case i >= 0:
			b.WriteString(`\` + `abtnvfr'\`[i:i+1])
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
			if strings.IndexByte(" !\"#$%&()*+:;<=>?[]^`{|}~", c) < 0 {
				continue
			}
		}
		plain = false
	}
	if plain {
		return s
	}
	return "$'" + b.String() + "'"
}
