// Gitlab-sysbox-executor is a custom executor for GitLab Runner. It runs each CI job in a
// container under Sysbox.
package main

import (
	"embed"
	"os"

	"gitlab-sysbox-executor/stages"
)

// files are what the command install writes.
//
//go:embed config.example.toml scripts/systemd
var files embed.FS

func main() { os.Exit(stages.Main(os.Args[1:], files)) }
