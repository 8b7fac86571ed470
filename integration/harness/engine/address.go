package engine

import (
	"context"
	"fmt"
)

// HostAddress is an address of this machine that the engine's containers reach.
func (e *Engine) HostAddress(ctx context.Context) (string, error) {
	var bridge struct {
		IPAM struct{ Config []struct{ Gateway string } }
	}
	if err := e.get(ctx, "/networks/bridge", nil, &bridge); err != nil {
		return "", err
	}
	if len(bridge.IPAM.Config) == 0 || bridge.IPAM.Config[0].Gateway == "" {
		return "", fmt.Errorf("the engine's default bridge has no gateway")
	}
	return bridge.IPAM.Config[0].Gateway, nil
}
