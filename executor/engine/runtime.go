package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// ExplainRuntime adds advice to the engine's error if the engine does not know the
// container's runtime.
func (e *Engine) ExplainRuntime(ctx context.Context, runtime string, err error) error {
	if IsUnreachable(err) {
		return err
	}
	info, infoErr := e.Info(ctx)
	if infoErr != nil || slices.Contains(info.Runtimes, runtime) {
		return err
	}
	return fmt.Errorf("runtime %q is not registered with the engine at %s (it has %s): install Sysbox or set runtime in the configuration: %w",
		runtime, e.host, strings.Join(info.Runtimes, ", "), err)
}
