// Package integration tests the product on a real Docker Engine, driven as
// GitLab Runner drives it. It needs root; everything else it sets up itself,
// and what it cannot set up is a failure. Its environment:
//
//	GSX_ENGINE_DIR   folder of the private engine (default: what scripts/engine.sh place prints)
//	GSX_RACE=1       build the product with the race detector
//	DOCKERD          the engine's binary, for scripts/engine.sh
package integration
