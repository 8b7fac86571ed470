package agent

import (
	"context"
	"io"
	"os/exec"
	"sync"
	"time"

	"gitlab-sysbox-executor/executor/known"
)

// VersionTime bounds how long all tools together may take.
const VersionTime = 3 * time.Second

// VersionsRequest asks for the versions of the known tools that the container has. They
// run as the job would run them.
type VersionsRequest struct {
	User string `json:"user,omitempty"` // as in ExecRequest
	Init bool   `json:"init"`
}

// VersionsResponse has those versions, by command.
type VersionsResponse struct {
	Versions map[string]string `json:"versions,omitempty"`
	Error    string            `json:"error,omitempty"` // why there are none
}

// Versions answers a VersionsRequest read from in with a VersionsResponse written to out.
func Versions(in io.Reader, out io.Writer) error {
	return answer("versions", in, out, VersionsRequest.report)
}

// report runs all tools at the same time. It leaves out those that do not answer.
func (o VersionsRequest) report() VersionsResponse {
	a, env, err := identity(o.Init, o.User)
	if err != nil {
		return VersionsResponse{Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), VersionTime)
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
				c.Dir, c.Env, c.SysProcAttr, c.WaitDelay = "/", a.environ(env), a.attributes(), 100*time.Millisecond
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
	return VersionsResponse{Versions: found}
}
