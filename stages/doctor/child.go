package doctor

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
)

// jobsName is the name of the subcommand that runs the trial jobs for inChild.
const jobsName = "jobs"

func jobsCommand(a *app.App) *cobra.Command {
	var image string
	c := &cobra.Command{
		Use: jobsName, Hidden: true, Args: cobra.NoArgs, Short: "Run the jobs of doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			caller := contract.CallingProcess()
			if err := a.Load(c.ErrOrStderr()); err != nil {
				return err
			}
			ctx, stop := caller.Watch(c.Context())
			defer stop()
			var all []doctor.Finding
			if image != "" {
				all = lookAtImage(ctx, a, image, c.ErrOrStderr())
			} else {
				all = runTrials(ctx, a, c.ErrOrStderr())
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(all)
		},
	}
	c.Flags().StringVar(&image, "image", "", "image of the job")
	return c
}

// insideCommand runs in the container of a trial job.
func insideCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inside", Hidden: true, Args: cobra.NoArgs, Short: "Try the storage volume of a trial job",
		RunE: func(c *cobra.Command, _ []string) error {
			return json.NewEncoder(c.OutOrStdout()).Encode(lookInside(storage.Mountpoint, os.Getenv))
		},
	}
}
