package docker

import (
	"context"

	"gitlab-sysbox-executor/executor/sysbox"
)

// namespaceSize is how many IDs a container has: what Sysbox gives to each, and
// user-namespace remapping of the engine's by default.
const namespaceSize = 65536

// fitSubIDs makes the ranges of /etc/subuid and /etc/subgid in a container that
// has not started yet fit its user namespace.
func (b *Backend) fitSubIDs(ctx context.Context, id string) error {
	for file, column := range map[string]int{sysbox.SubUIDFile: 2, sysbox.SubGIDFile: 3} {
		text, err := b.Engine.ReadFile(ctx, id, file)
		if err != nil {
			return err
		}
		if _, changed := sysbox.FitSubIDs(text, nil, namespaceSize); !changed {
			continue
		}
		passwd, err := b.Engine.ReadFile(ctx, id, sysbox.PasswdFile)
		if err != nil {
			return err
		}
		fitted, _ := sysbox.FitSubIDs(text, sysbox.UserIDs(passwd, column), namespaceSize)
		if err := b.Engine.WriteFile(ctx, id, file, fitted); err != nil {
			return err
		}
	}
	return nil
}
