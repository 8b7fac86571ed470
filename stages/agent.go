package stages

import (
	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/stages/app"
)

// agentCommand is what runs inside a job's containers.
func agentCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agent", Short: "What this binary does inside a job's container", Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := agent.Main(args); code != 0 {
				return app.ExitError(code)
			}
			return nil
		},
	}
}
