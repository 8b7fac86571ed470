package statedir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// stageNote is the content of a file in the job's folder.
type stageNote struct {
	Stage string    `json:"stage"`
	Since time.Time `json:"since"`
}

func (d Dir) stagePath(name string) string { return filepath.Join(d.Job(name), "stage.json") }

// SetStage records which stage of the named job begins. It is information for users only, so
// it is not flushed to disk and errors are ignored.
func (d Dir) SetStage(name, stage string) {
	text, err := json.Marshal(stageNote{stage, time.Now().UTC()})
	if err == nil {
		_ = os.WriteFile(d.stagePath(name), append(text, '\n'), 0o644)
	}
}

// Stage returns the last stage of the named job that began, and the time; empty before the
// first.
func (d Dir) Stage(name string) (stage string, since time.Time) {
	var note stageNote
	if text, err := os.ReadFile(d.stagePath(name)); err == nil {
		_ = json.Unmarshal(text, &note) // incomplete if it is being written
	}
	return note.Stage, note.Since
}
