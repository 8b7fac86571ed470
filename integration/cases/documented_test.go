package cases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
)

// documented are the scripts in a page of docs/cases: its blocks of sh, in their order.
func documented(t testing.TB, page string) (scripts []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.World.Repo, "docs", "cases", page+".md"))
	if err != nil {
		t.Fatal(err)
	}
	for n, part := range strings.Split(string(text), "```sh\n") {
		if n > 0 {
			block, _, _ := strings.Cut(part, "```")
			scripts = append(scripts, strings.TrimSuffix(block, "\n"))
		}
	}
	return scripts
}

// builtContext writes a Dockerfile that starts from nothing but a static busybox
// and runs a step.
func builtContext() string {
	return harness.Lines(
		"mkdir -p context && cp /bin/busybox context/sh",
		"printf 'FROM scratch\\nCOPY sh /bin/sh\\nRUN echo a step with $0 >/made\\nCMD read made </made; echo \"ran: $made\"\\n' >context/Dockerfile",
	)
}
