package agent

import (
	"context"
	"os/exec"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/known"
)

// versionTime bounds how long a tool may take to print its version.
const versionTime = 3 * time.Second

// toolVersions runs the container's own tools, all at the same time, to get their versions. It
// runs them as a, as the job would. It leaves out tools that are missing or do not answer.
func toolVersions(a account) map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), versionTime)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	found := map[string]string{}
	for _, commands := range known.Tools {
		for _, command := range commands {
			path, err := exec.LookPath(command)
			if err != nil {
				continue
			}
			wg.Go(func() {
				c := exec.CommandContext(ctx, path, "--version")
				c.Dir, c.SysProcAttr, c.WaitDelay = "/", a.attributes(), 100*time.Millisecond
				out, err := c.Output()
				if n := known.Number(string(out[:min(len(out), 4096)])); err == nil && n != "" {
					mu.Lock()
					defer mu.Unlock()
					found[command] = n
				}
			})
		}
	}
	wg.Wait()
	return found
}
