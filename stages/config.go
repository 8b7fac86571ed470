package stages

import (
	"encoding/json"
	"io"

	"gitlab.com/gitlab-org/gitlab-runner/executors/custom/api"

	"gitlab-sysbox-executor/config"
)

// Config answers the Runner's config call: JSON on out, and no other output.
func Config(cfg *config.Config, version string, out io.Writer) error {
	name, shared := "gitlab-sysbox-executor", false
	return json.NewEncoder(out).Encode(api.ConfigExecOutput{
		Driver:    &api.DriverInfo{Name: &name, Version: &version},
		BuildsDir: &cfg.Job.BuildsDir,
		CacheDir:  &cfg.Job.CacheDir,
		// Each job has its own container, so no other job uses the folders.
		BuildsDirIsShared: &shared,
	})
}
