package cases

import "gitlab-sysbox-executor/integration/harness"

// builtContext writes a Dockerfile that starts from nothing but a static busybox
// and runs a step.
func builtContext() string {
	return harness.Lines(
		"mkdir -p context && cp /bin/busybox context/sh",
		"printf 'FROM scratch\\nCOPY sh /bin/sh\\nRUN echo a step with $0 >/made\\nCMD read made </made; echo \"ran: $made\"\\n' >context/Dockerfile",
	)
}
