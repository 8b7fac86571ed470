package sharedfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"mvdan.cc/sh/v3/syntax"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/agentclient"
	"gitlab-sysbox-executor/executor/agentprogram"
	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/owner"
	"gitlab-sysbox-executor/executor/spec"
)

// fillContainer is the container in which an image's buildah or podman fills a generation. Its first
// process does nothing. A script that runs in it ends with this process.
type fillContainer struct {
	how   Fill
	agent agentclient.Container
	grace time.Duration
	log   logrus.FieldLogger
}

// start makes and starts the fill container. It sees two generations, given by the names of their
// volumes.
func (f *Filler) start(ctx context.Context, how Fill, img engine.Image, old, made string) (*fillContainer, error) {
	if err := f.makeFolder(); err != nil {
		return nil, fmt.Errorf("shared images: %w", err)
	}
	mounts := []engine.Mount{
		{Kind: engine.Bind, Source: f.Shared.FillFolder(), Target: agent.Dir, ReadOnly: true},
		{Kind: engine.Volume, Source: made, Target: newDir},
	}
	mounts = append(mounts, spec.Mounts(how.Volumes, func(int) string { return "" })...) // each entry has a source
	if old != "" {
		mounts = append(mounts, engine.Mount{Kind: engine.Volume, Source: old, Target: oldDir, ReadOnly: true})
	}
	env := append(slices.Clone(how.Environment), "STORAGE_OPTS=", "TMPDIR="+tempDir, "BUILDAH_ISOLATION=chroot")
	c := spec.New(made, how.Runtime, img, env, how.Network, mounts)
	spec.RunAgent(&c, "{}", "/")
	c.Labels = job.ContainerLabels(map[string]string{job.LabelImages: f.Shared.ID(), job.LabelOwner: owner.Label()})
	c.Tmpfs = map[string]string{runDir: "mode=0700"}
	id, err := f.Engine.CreateContainer(ctx, c)
	if err != nil {
		return nil, f.Engine.ExplainRuntime(ctx, how.Runtime, err)
	}
	if err := f.Engine.StartContainer(ctx, id); err != nil {
		return nil, f.Engine.ExplainRuntime(ctx, how.Runtime, err)
	}
	return &fillContainer{how: how, agent: f.Inside(id, owner.Process{}, "the fill container"), grace: f.KillGrace, log: f.Log}, nil
}

// makeFolder makes the host folder for the container. An earlier one was removed.
func (f *Filler) makeFolder() error {
	dir, err := containerdir.Make(f.Shared.FillFolder())
	if err != nil {
		return err
	}
	defer dir.Close()
	return agentprogram.Write(dir, path.Base(agent.Path))
}

// run runs a script in the container as root; words are its arguments.
func (t *fillContainer) run(ctx context.Context, doing, script string, out io.Writer, words ...string) error {
	text, err := command(script, words)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	o, err := t.agent.Run(ctx, agentclient.Script{
		Stage: doing, Text: []byte(text),
		Request: agent.ExecRequest{Shell: "/bin/sh", WorkingDir: "/", Grace: t.grace},
	}, out)
	if len(o.Survivors) > 0 {
		t.log.Warnf("Processes %v of %s could not be killed; they end with the fill container.", o.Survivors, doing)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s was stopped: %w", doing, context.Cause(ctx))
	}
	if failed, ok := errors.AsType[*agentclient.ScriptError](err); ok {
		return &toolError{failed.Error()}
	}
	return err
}

// command combines a script and its arguments.
func command(script string, words []string) (string, error) {
	var text strings.Builder
	text.WriteString("set -eu\numask 022\nset --")
	for _, w := range words {
		quoted, err := syntax.Quote(w, syntax.LangPOSIX)
		if err != nil {
			return "", err
		}
		text.WriteString(" " + quoted)
	}
	text.WriteString("\n" + script)
	return text.String(), nil
}

// toolError means that a program in the fill container has failed; its output contains the reason. A
// ScriptError would count as a failure of the job's script.
type toolError struct{ text string }

func (e *toolError) Error() string { return e.text }
