package script

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"gitlab-sysbox-executor/lazyregexp"
)

// readsEnv matches the commands that read the file of GITLAB_ENV, since Runner 17.7 and from
// 16.4 on (BashWriter.SourceEnv). They come after the job's variables. No value contains
// them, because the Runner escapes double quotes in values.
var readsEnv = lazyregexp.New(`\nmkdir -p ".*"\ntouch ".*"\n(?:` +
	`while read -r line; do export "\$line"; done < ".*"|` +
	`set -o allexport\n(source) ".*" set\nset \+o allexport)\n`)

// prelude is the part of a stage's commands in which the Runner exports the job's variables.
// It comes first in every stage that has it (AbstractShell.writeExports and its callers in
// shells/abstract.go). After it comes a cd, an echo or another command of the Runner: an
// echo announces each line of the job's own.
type prelude struct {
	end    int // the position after it; 0 if there is none
	source int // the position of the command source in it; 0 if there is none
}

// findPrelude fails if it cannot determine whether there is one.
func findPrelude(body string) (p prelude, err error) {
	if at := readsEnv().FindStringSubmatchIndex(body); at != nil {
		return prelude{end: at[1] - 1, source: max(at[2], 0)}, nil
	}
	// A Runner before 16.4 writes only the exports, and the two commands that write the file of
	// a file-type variable before its export.
	err = statements([]byte(body), maxStatement, func(s *syntax.Stmt) bool {
		text := body[s.Pos().Offset():s.End().Offset()]
		switch {
		case strings.HasPrefix(text, "export "):
			p.end = int(s.End().Offset())
		case !strings.HasPrefix(text, "mkdir -p ") && !strings.HasPrefix(text, "printf '%s' "):
			return false
		}
		return true
	})
	if p.end > 0 {
		// The text after the exports may be invalid syntax.
		err = nil
	}
	return p, err
}
