package stages

import "testing"

func TestHelperStages(t *testing.T) {
	for stage, want := range map[string]bool{
		"prepare_script": false, "get_sources": true, "clear_worktree": true, "restore_cache": true, "download_artifacts": true,
		"build_script": false, "step_script": false, "step_release": false, "after_script": false,
		"archive_cache": true, "archive_cache_on_failure": true,
		"upload_artifacts_on_success": true, "upload_artifacts_on_failure": true, "cleanup_file_variables": true,
		"one of tomorrow's": false,
	} {
		if got := helperStage(stage); got != want {
			t.Errorf("%s: %v", stage, got)
		}
	}
}
