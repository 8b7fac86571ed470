// Agent is what runs inside a job's containers, as a program of its own.
package main

import (
	"os"

	"gitlab-sysbox-executor/executor/agent"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "agent" { // the same command line as the executor's
		os.Exit(agent.Main(nil))
	}
	os.Exit(agent.Main(os.Args[2:]))
}
