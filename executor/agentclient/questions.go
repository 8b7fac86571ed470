package agentclient

import (
	"context"
	"time"

	"gitlab-sysbox-executor/executor/agent"
)

// Inspect asks the agent to inspect the job's container and set it up. The agent gets limit in
// addition to the time for the entrypoint and systemd.
func (c Container) Inspect(ctx context.Context, o agent.InspectOrder, limit time.Duration) (agent.Report, error) {
	const subcommand = "inspect"
	r, err := ask[agent.InspectOrder, agent.Report](ctx, c, subcommand, limit+o.EntrypointTimeout+o.SystemdTimeout, o)
	if err == nil {
		if why := checkReport(o, &r); why != nil {
			return agent.Report{}, c.impossible(subcommand, why)
		}
	}
	return r, err
}

// Look asks the agent to inspect a service's container. The agent gets limit in addition to the
// time for systemd.
func (c Container) Look(ctx context.Context, o agent.LookOrder, limit time.Duration) (agent.LookReport, error) {
	r, err := ask[agent.LookOrder, agent.LookReport](ctx, c, "look", limit+o.SystemdTimeout, o)
	checkLookReport(o, &r)
	return r, err
}

// Await asks the agent to wait until one of the addresses accepts a connection.
func (c Container) Await(ctx context.Context, o agent.AwaitOrder) (agent.AwaitReport, error) {
	r, err := ask[agent.AwaitOrder, agent.AwaitReport](ctx, c, "await", o.Timeout+answerTime, o)
	checkAwaitReport(&r)
	return r, err
}

// Versions asks the agent for the versions of the container's tools, by command.
func (c Container) Versions(ctx context.Context, o agent.VersionsOrder) (map[string]string, error) {
	r, err := ask[agent.VersionsOrder, agent.VersionsReport](ctx, c, "versions", agent.VersionTime+answerTime, o)
	if err != nil {
		return nil, err
	}
	return checkVersions(r)
}

// Unmount asks the agent to unmount what the job mounted.
func (c Container) Unmount(ctx context.Context, o agent.UnmountOrder) (agent.UnmountReport, error) {
	r, err := ask[agent.UnmountOrder, agent.UnmountReport](ctx, c, "unmount", agent.UnmountTime+2*time.Second, o)
	checkUnmountReport(&r)
	return r, err
}
