// Package agentprogram puts the agent into folders that containers see.
//
// `make build` embeds the agent as a program of its own: it starts in a third of the time of the complete executor,
// once for each stage. A plain `go build` embeds nothing, and the executor copies itself.
package agentprogram

import "gitlab-sysbox-executor/executor/containerdir"

//go:generate env CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o agent ../../cmd/agent

// program is the embedded program; nil if there is none.
var program []byte

// Write creates the program in a folder.
func Write(d *containerdir.Dir, name string) error {
	if len(program) == 0 {
		return d.CopyProgram(containerdir.Self, name)
	}
	return d.WriteFile(name, program, 0o755)
}
