package runner

import (
	"fmt"
	"path"
	"strings"
)

// Terminal colours as the Runner's generated scripts write them.
const (
	ansiReset     = "\x1b[0;m"
	ansiBoldGreen = "\x1b[32;1m"
	ansiYellow    = "\x1b[0;33m"
)

// bashWriter is the Runner's BashWriter: a script line by line, wrapped at the
// end into one `eval` of a quoted text.
type bashWriter struct {
	strings.Builder
	shell   string
	tempDir string
	escape  func(string) string
	indent  int
}

func (w *bashWriter) line(text string) {
	w.WriteString(strings.Repeat("  ", w.indent) + text + "\n")
}

func (w *bashWriter) linef(format string, args ...any) { w.line(fmt.Sprintf(format, args...)) }

func (w *bashWriter) join(quote func(string) string, args []string) string {
	words := []string{w.escape(args[0])}
	for _, arg := range args[1:] {
		words = append(words, quote(arg))
	}
	return strings.Join(words, " ")
}

func (w *bashWriter) command(args ...string) { w.line(w.join(w.escape, args)) }

// commandExpanding leaves variables in the arguments to the shell.
func (w *bashWriter) commandExpanding(args ...string) { w.line(w.join(doubleQuote, args)) }

func (w *bashWriter) notice(format string, args ...any) {
	w.line("echo " + w.escape(ansiBoldGreen+fmt.Sprintf(format, args...)+ansiReset))
}

func (w *bashWriter) warning(format string, args ...any) {
	w.line("echo " + w.escape(ansiYellow+fmt.Sprintf(format, args...)+ansiReset))
}

// block writes an `if` and what is inside it.
func (w *bashWriter) block(condition string, then func(), otherwise func()) {
	w.line("if " + condition + "then")
	w.indent++
	then()
	if otherwise != nil {
		w.indent--
		w.line("else")
		w.indent++
		otherwise()
	}
	w.indent--
	w.line("fi")
}

func (w *bashWriter) ifDirectory(dir string, then func()) {
	w.block(fmt.Sprintf("[ -d %q ]; ", dir), then, nil)
}

func (w *bashWriter) ifCommand(args []string, then, otherwise func()) {
	w.block(w.join(w.escape, args)+" >/dev/null 2>&1 ; ", then, otherwise)
}

func (w *bashWriter) ifCommandWithOutput(args []string, then, otherwise func()) {
	w.block(w.join(w.escape, args)+" ; ", then, otherwise)
}

func (w *bashWriter) removeFile(name string) { w.commandExpanding("rm", "-f", name) }

func (w *bashWriter) removeDir(dir string) {
	w.ifDirectory(dir, func() { w.commandExpanding("chmod", "-R", "u+rwX", dir) })
	w.commandExpanding("rm", "-r", "-f", dir)
}

func (w *bashWriter) removeFilesBelow(dir, name string) {
	w.ifDirectory(dir, func() {
		w.linef(`et='+' ; find /dev/null -exec true {} + 2>/dev/null || et=';' ; `+
			`find %q -name %q -type f -exec rm -f {} "${et}"`, dir, name)
	})
}

func (w *bashWriter) temp(name string) string { return path.Join(w.tempDir, name) }

// variable exports one; of type file, its content goes to a file first.
func (w *bashWriter) variable(v Variable) {
	if !v.File {
		w.linef("export %s=%s", w.escape(v.Key), w.escape(v.Value))
		return
	}
	file := w.temp(v.Key)
	w.linef("mkdir -p %q", w.tempDir)
	w.linef("printf '%%s' %s > %q", w.escape(v.Value), file)
	w.linef("export %s=%q", w.escape(v.Key), file)
}

// commands writes the job's own lines, each announced before it runs.
func (w *bashWriter) commands(lines []string) {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		first, _, multi := strings.Cut(line, "\n")
		switch {
		case line == "":
			w.line("echo")
		case multi:
			w.notice("$ %s # collapsed multi-line command", first)
		default:
			w.notice("$ %s", line)
		}
		w.line(line)
	}
}

// finish is the whole script file.
func (w *bashWriter) finish(trace bool) string {
	xtrace := ""
	if trace {
		xtrace = "set -o xtrace\n"
	}
	return "#!/usr/bin/env " + w.shell + "\n\n" +
		"trap 'exit 1' TERM\n\n" + xtrace +
		`case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit` + "\n" +
		"set +o noclobber\n" +
		"(trap 'exit 1' TERM; eval " + w.escape(w.String()) + ") < /dev/null\n" +
		"exit 0\n"
}
