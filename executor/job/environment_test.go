package job

import (
	"reflect"
	"testing"
)

func TestEnvironmentOfAStage(t *testing.T) {
	alone := Environment{Container: "job", Tools: "/tools"}
	if got := alone.Of(true); !reflect.DeepEqual(got, alone) {
		t.Errorf("a helper's stage without a helper container has %+v", got)
	}
	if got := alone.Of(false); got.Container != "job" || got.Tools != "" {
		t.Errorf("the author's stage has %+v", got)
	}
	helper := Environment{Container: "helper", Tools: "/helper"}
	both := Environment{Container: "job", Helper: &helper}
	if got := both.Of(true); !reflect.DeepEqual(got, helper) {
		t.Errorf("a helper's stage has %+v", got)
	}
	if got := both.Of(false); got.Container != "job" {
		t.Errorf("the author's stage has %+v", got)
	}
}
