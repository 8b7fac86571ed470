package stages

import (
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/stages/app"
)

// agentCommand has the subcommands that run inside a job's containers.
func agentCommand() *cobra.Command {
	c := &cobra.Command{Use: "agent", Short: "What this binary does inside a job's container", Hidden: true}
	c.AddCommand(
		&cobra.Command{Use: "init ORDER", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error { return agent.Init(args[0]) }},
		&cobra.Command{Use: "ready", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Ready() }},
		&cobra.Command{Use: "exec", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			if code := agent.Exec(); code != 0 {
				return app.ExitError(code)
			}
			return nil
		}},
		&cobra.Command{Use: "inspect", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Inspect(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "look", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Look(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "versions", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Versions(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "unmount", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.UnmountNested(os.Stdin, os.Stdout) }},
		&cobra.Command{Use: "shift DIR USER", Args: cobra.ExactArgs(2), RunE: func(_ *cobra.Command, args []string) error {
			user, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return fmt.Errorf("agent shift: %w", err)
			}
			return agent.Shift(args[0], uint32(user))
		}},
		&cobra.Command{Use: "await", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return agent.Await(os.Stdin, os.Stdout) }},
	)
	return c
}
