// Package harness is what all integration tests share: a private Docker Engine, the
// product, places to run it in, jobs, images, and the comparison of the machine before
// and after. The tests are in the packages beside it, one for each subject.
//
// They test the product on a real engine, driven as GitLab Runner drives it. They need
// root; everything else they set up themselves, and what they cannot set up is a
// failure. Their environment:
//
//	GSX_ENGINE_DIR   folder of the private engine (default: what scripts/engine.sh place prints)
//	GSX_RACE=1       build the product with the race detector
//	DOCKERD          the engine's binary, for scripts/engine.sh
package harness
