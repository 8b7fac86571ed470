package statedir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// stageNote is in a job's folder while it has one.
type stageNote struct {
	Stage string    `json:"stage"`
	Since time.Time `json:"since"`
}

func (d Dir) stagePath(name string) string { return filepath.Join(d.Job(name), "stage.json") }

// SetStage notes which stage of the named job begins. It is for people to see: nothing
// depends on it, so it is not flushed, and a disk that is full is no trouble.
func (d Dir) SetStage(name, stage string) {
	text, err := json.Marshal(stageNote{stage, time.Now().UTC()})
	if err == nil {
		_ = os.WriteFile(d.stagePath(name), append(text, '\n'), 0o644)
	}
}

// Stage is the stage of the named job that runs, or ran last, and when it began; empty
// before the first.
func (d Dir) Stage(name string) (stage string, since time.Time) {
	var note stageNote
	if text, err := os.ReadFile(d.stagePath(name)); err == nil {
		_ = json.Unmarshal(text, &note) // half written: it has just begun
	}
	return note.Stage, note.Since
}

// HasJob tells whether the named job has a folder.
func (d Dir) HasJob(name string) bool {
	_, err := os.Lstat(d.Job(name))
	return err == nil
}
