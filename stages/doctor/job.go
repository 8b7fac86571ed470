package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/contract"
	"gitlab-sysbox-executor/stages/plan"
)

// trialProject is the ID of the project of trial jobs.
const trialProject = 1

// trialSize is the size of volumes of backends that jobs do not get, in bytes: enough for mkfs.xfs.
const trialSize = 512 << 20

// runTrials runs a job with each backend of storage volumes that works here, in an image made of this
// program alone.
func runTrials(ctx context.Context, a *app.App, log io.Writer) (all []doctor.Finding) {
	err := a.With(func(p *app.Parts) error {
		m := machine(a, "", "")
		m.Engine = p.Engine
		configured, others, err := m.Backends(ctx)
		if err != nil {
			return err
		}
		unlock, err := p.Executor.Dir.LockDoctor(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		ref, remove, err := makeImage(ctx, p.Engine, p.Executor.Dir)
		if err != nil {
			return err
		}
		all = append(all, trial(ctx, trialConfig(a.Config, configured, 0), ref, true, log))
		for _, name := range others {
			if ctx.Err() == nil {
				all = append(all, trial(ctx, trialConfig(a.Config, name, trialSize), ref, false, log))
			}
		}
		return remove()
	})
	if err != nil {
		all = append(all, failure("", err, ""))
	}
	return all
}

// trialConfig is the configuration of a trial job: the machine's own, without the rules for images and
// users of jobs. Size replaces storage.size unless it is 0.
func trialConfig(c *config.Config, backend string, size int64) *config.Config {
	t := *c
	t.Job.PullPolicy, t.Job.AllowedPullPolicies = []string{"never"}, nil
	t.Job.AllowedImages, t.Job.AllowedUsers, t.Job.User = nil, nil, ""
	t.Images.Offer, t.Helper.Mode = false, "auto"
	t.GC.Interval = 0
	t.Storage.Backend = backend
	if size > 0 {
		t.Storage.Size = config.Size(size)
	}
	return &t
}

// trialJob is a job in the trial's own project.
type trialJob struct {
	x           *executor.Executor
	id          job.Identity
	environment job.Environment
}

// with prepares a job of the image, calls do, and removes the job.
func with(ctx context.Context, cfg *config.Config, ref string, variables map[string]string, log io.Writer, do func(trialJob) error) error {
	a := &app.App{Config: cfg, Log: app.NewLog(log, "info")}
	id := time.Now().UnixMicro()
	call := &contract.Call{
		Job: &contract.Job{
			ID: id, Info: contract.JobInfo{ProjectID: trialProject, PipelineID: id},
			Git: contract.GitInfo{RepoURL: "https://" + contract.TryServer + "/doctor/doctor.git"}, Image: contract.Image{Name: ref},
		},
		Variables: variables,
	}
	p, err := plan.Make(call, cfg, a.Log)
	if err != nil {
		return err
	}
	return a.WithExecutor(func(x *executor.Executor) (err error) {
		t := trialJob{x: x, id: p.Identity}
		defer func() {
			// Always, even after an interrupt.
			err = errors.Join(err, x.Cleanup(context.WithoutCancel(ctx), t.id))
			if x.Dir.HasJob(t.id.Name()) {
				err = errors.Join(err, fmt.Errorf("the cleanup left something of the job %s", t.id.Name()))
			}
		}()
		if err := x.Prepare(ctx, p); err != nil {
			return err
		}
		if t.environment, err = x.Environment(t.id); err != nil {
			return err
		}
		return do(t)
	})
}

// run runs a script of the job and returns its output.
func (t trialJob) run(ctx context.Context, text string) (string, error) {
	out := limited{most: mostOutput}
	err := t.x.Run(ctx, t.id, t.environment, executor.Script{Stage: "build_script", Text: []byte(text)}, &out)
	return out.text.String(), err
}

// mostOutput bounds the output of a script, in bytes: an image decides what its programs print.
const mostOutput = 64 << 10

// limited keeps the beginning of what is written to it.
type limited struct {
	text bytes.Buffer // not embedded, because a Buffer has other methods that write
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	l.text.Write(p[:min(len(p), max(0, l.most-l.text.Len()))])
	return len(p), nil
}

// trial runs one job. If jobs get this backend, a failure is an error.
func trial(ctx context.Context, cfg *config.Config, ref string, configured bool, log io.Writer) doctor.Finding {
	backend := cfg.Storage.Backend
	var lines bytes.Buffer
	var found inside
	var prepared time.Duration
	began := time.Now()
	err := with(ctx, cfg, ref, map[string]string{"GIT_STRATEGY": "none"}, io.MultiWriter(log, &lines), func(t trialJob) error {
		prepared = time.Since(began)
		out, err := t.run(ctx, trialProgram+" doctor inside\n")
		if err == nil {
			err = json.Unmarshal([]byte(last(out)), &found)
		}
		if err != nil {
			return fmt.Errorf("the script of the trial job: %w: %.300s", err, out)
		}
		return nil
	})
	if no, full := errors.AsType[*storage.NoRoom](err); full && !configured {
		return doctor.Finding{Check: jobCheck, Severity: doctor.Note, Text: backend + " was not tried: " + no.Error(), Next: "nothing, unless jobs should have it"}
	}
	if err != nil {
		f := failure(backend, err, lines.String())
		if !configured {
			f.Severity = doctor.Note
		}
		return f
	}
	return found.finding(backend, cfg.Storage.Driver, configured, prepared, time.Since(began)-prepared)
}

// finding says what a job on this backend found.
func (i inside) finding(backend, driver string, configured bool, prepared, rest time.Duration) doctor.Finding {
	shares := "in full"
	if i.Shares {
		shares = "with shared blocks"
	}
	overlay := "overlay works"
	if i.Overlay != "" {
		overlay = "overlay does not work (" + i.Overlay + ")"
	}
	f := doctor.Finding{Check: jobCheck, Severity: doctor.OK, Text: fmt.Sprintf("%s: started in %.1f s, run and removed in %.1f s; %s, vfs copies layers %s", backend, prepared.Seconds(), rest.Seconds(), overlay, shares)}
	if !configured {
		f.Text = "beside it, " + f.Text
	} else {
		f.Text = "a real job, on " + f.Text
	}
	bad := doctor.Warning
	if !configured {
		bad = doctor.Note
	}
	switch {
	case i.VFS != "":
		f.Severity, f.Text = doctor.Error, fmt.Sprintf("%s: the storage driver vfs does not work: %s", backend, i.VFS)
		f.Next = "set another storage.backend, or look at the file system below it (docs/storage.md)"
		if !configured {
			f.Severity = doctor.Note
		}
	case i.Temp != "":
		f.Severity, f.Text, f.Next = bad, fmt.Sprintf("%s: TMPDIR does not work: %s", backend, i.Temp), "correct storage.tmpdir"
	case i.Overlay != "" && driver == "overlay":
		f.Severity, f.Next = bad, "set storage.driver = \"vfs\", or update the kernel and Sysbox: builds use vfs, which is slower"
	}
	return f
}

// failure is the finding for a job that did not run. Log are the lines that it would have had.
func failure(backend string, err error, log string) doctor.Finding {
	text := "the trial job failed: "
	if backend != "" {
		text = fmt.Sprintf("the trial job with %s failed: ", backend)
	}
	next := "correct what the message says, then run doctor again; doctor --verbose shows the job's log"
	if strings.Contains(err.Error(), "sysbox") {
		next = "look into Sysbox's log (journalctl -u sysbox-mgr -u sysbox-fs), then: systemctl restart sysbox"
	}
	return doctor.Finding{Check: jobCheck, Severity: doctor.Error, Text: text + err.Error() + warnings(log), Next: next}
}

// warnings are the last warnings in a job's log, for a message.
func warnings(log string) string {
	all := warningsOf(log)
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all[max(0, len(all)-2):], "; ") + ")"
}

// warningsOf are all warnings in a job's log.
func warningsOf(log string) (all []string) {
	for line := range strings.Lines(log) {
		if _, text, is := strings.Cut(line, "WARNING: "); is {
			all = append(all, strings.TrimSuffix(strings.TrimSpace(text), app.Reset))
		}
	}
	return all
}

const jobCheck = "job"
