package fault

import (
	"errors"
	"fmt"
	"testing"
)

func TestClassOf(t *testing.T) {
	cause := errors.New("cause")
	for _, tc := range []struct {
		name string
		err  error
		want Class
	}{
		{"none", cause, System},
		{"job", Jobf("bad: %w", cause), Job},
		{"wrapped", fmt.Errorf("doing: %w", Jobf("bad: %w", cause)), Job},
		{"joined", errors.Join(cause, Jobf("bad")), Job},
		{"system around job", Systemf("machine: %w", Jobf("bad: %w", cause)), System},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ClassOf(tc.err); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	if !errors.Is(Jobf("bad: %w", cause), cause) {
		t.Error("the cause is lost")
	}
}
