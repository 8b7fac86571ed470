// Gitlab-sysbox-executor is a custom executor for GitLab Runner. It runs each CI job in a
// container under Sysbox.
package main

import (
	"os"

	"gitlab-sysbox-executor/stages"
)

func main() { os.Exit(stages.Main(os.Args[1:])) }
