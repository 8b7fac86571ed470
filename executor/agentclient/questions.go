package agentclient

import (
	"context"
	"time"

	"gitlab-sysbox-executor/executor/agent"
)

// Inspect asks the agent to inspect the job's container and set it up. The agent gets limit in
// addition to the time for the entrypoint and systemd.
func (c Container) Inspect(ctx context.Context, o agent.InspectRequest, limit time.Duration) (agent.InspectResponse, error) {
	const subcommand = "inspect"
	r, err := ask[agent.InspectRequest, agent.InspectResponse](ctx, c, subcommand, limit+o.EntrypointTimeout+o.SystemdTimeout, o)
	if err == nil {
		if why := checkInspectResponse(o, &r); why != nil {
			return agent.InspectResponse{}, c.impossible(subcommand, why)
		}
	}
	return r, err
}

// Look asks the agent to inspect a service's container. The agent gets limit in addition to the
// time for systemd.
func (c Container) Look(ctx context.Context, o agent.LookRequest, limit time.Duration) (agent.LookResponse, error) {
	r, err := ask[agent.LookRequest, agent.LookResponse](ctx, c, "look", limit+o.SystemdTimeout, o)
	checkLookResponse(o, &r)
	return r, err
}

// Await asks the agent to wait until one of the addresses accepts a connection.
func (c Container) Await(ctx context.Context, o agent.AwaitRequest) (agent.AwaitResponse, error) {
	r, err := ask[agent.AwaitRequest, agent.AwaitResponse](ctx, c, "await", o.Timeout+answerTime, o)
	checkAwaitResponse(&r)
	return r, err
}

// Versions asks the agent for the versions of the container's tools, by command.
func (c Container) Versions(ctx context.Context, o agent.VersionsRequest) (map[string]string, error) {
	r, err := ask[agent.VersionsRequest, agent.VersionsResponse](ctx, c, "versions", agent.VersionTime+answerTime, o)
	if err != nil {
		return nil, err
	}
	return checkVersions(r)
}

// Unmount asks the agent to unmount what the job mounted.
func (c Container) Unmount(ctx context.Context, o agent.UnmountRequest) (agent.UnmountResponse, error) {
	r, err := ask[agent.UnmountRequest, agent.UnmountResponse](ctx, c, "unmount", agent.UnmountTime+2*time.Second, o)
	checkUnmountResponse(&r)
	return r, err
}

// Tidy makes the storage volume ready for the project's next job.
func (c Container) Tidy(ctx context.Context, o agent.TidyRequest) (agent.TidyResponse, error) {
	r, err := ask[agent.TidyRequest, agent.TidyResponse](ctx, c, "tidy", agent.TidyTime+answerTime, o)
	if err != nil {
		return agent.TidyResponse{}, err
	}
	return checkTidyResponse(r)
}
