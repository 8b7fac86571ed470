package engine

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A container that the engine removes by itself is gone when RemoveContainer returns without an error.
func TestRemovalInProgress(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		gone   bool
	}{
		"removed":        {http.StatusOK, `{"StatusCode":0}`, true},
		"removed before": {http.StatusNotFound, `{"message":"No such container: x"}`, true},
		"failed":         {http.StatusOK, `{"StatusCode":0,"Error":{"Message":"device or resource busy"}}`, false},
		"unknown":        {http.StatusInternalServerError, `{"message":"out of memory"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := handling(t, "1.41", func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodDelete:
					w.WriteHeader(http.StatusConflict)
					fmt.Fprint(w, `{"message":"removal of container x is already in progress"}`)
				case strings.HasSuffix(r.URL.Path, "/wait") && r.URL.Query().Get("condition") == "removed":
					w.WriteHeader(c.status)
					fmt.Fprint(w, c.answer)
				}
			})
			if err := e.RemoveContainer(t.Context(), "x"); (err == nil) != c.gone || err != nil && !IsBusy(err) {
				t.Error(err)
			}
		})
	}
}
