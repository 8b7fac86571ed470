package docker

import (
	"context"

	"gitlab-sysbox-executor/executor/sysbox"
)

// fitSubIDs makes the ranges of /etc/subuid and /etc/subgid fit the container's user
// namespace. The container has not started yet. Where the agent is the first process, it does
// so itself: reading a file in a container that does not run takes the engine 0.1 s.
func (b *Backend) fitSubIDs(ctx context.Context, id string) error {
	return sysbox.FitFiles(sysbox.NamespaceSize, func(file string) ([]byte, error) {
		return b.Engine.ReadFile(ctx, id, file)
	}, func(file string, text []byte) error {
		return b.Engine.WriteFile(ctx, id, file, text)
	})
}
