package engine

import (
	"errors"
	"strings"
	"testing"
)

// Only a runtime that the engine does not have is reported as missing.
func TestExplainRuntime(t *testing.T) {
	refused := errors.New("the engine's own words")
	e := answering(t, "1.41", `{"Runtimes":{"runc":{}}}`)
	if err := e.ExplainRuntime(t.Context(), "runc", refused); err != refused {
		t.Errorf("one that is there: %v", err)
	}
	err := e.ExplainRuntime(t.Context(), "sysbox-runc", refused)
	if !errors.Is(err, refused) || !strings.Contains(err.Error(), `runtime "sysbox-runc" is not registered with the engine at unix://`) || !strings.Contains(err.Error(), "(it has runc)") {
		t.Errorf("one that is not: %v", err)
	}
}
