package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/doctor"
	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/stages/app"
)

// lookAtImage runs a job in an image, under the rules for jobs, and says what the image has and how the
// job was run. What the image says is foreign text.
func lookAtImage(ctx context.Context, a *app.App, ref string, log io.Writer) (all []doctor.Finding) {
	var lines bytes.Buffer
	l := look{a: a, ref: ref}
	began := time.Now()
	err := with(ctx, a.Config, ref, map[string]string{"GIT_STRATEGY": "none", "CI_JOB_IMAGE": ref}, io.MultiWriter(log, &lines), func(t trialJob) error {
		l.trialJob = t
		l.add("image", doctor.OK, "", "%s: a job was prepared in %.1f s", ref, time.Since(began).Seconds())
		return l.examine(ctx)
	})
	for _, text := range warningsOf(lines.String()) {
		l.add("start", doctor.Warning, "correct the image, or what the message names", "%s", text)
	}
	if err != nil {
		next := "correct what the message says; gitlab-sysbox-executor doctor checks the machine"
		if fault.ClassOf(err) == fault.Job {
			next = "correct the image, its name or the rules for images in the configuration (docs/images.md); a pull policy decides whether a local image is used"
		}
		l.add("image", doctor.Error, next, "a job in it fails: %v", err)
	}
	return l.all
}

type look struct {
	trialJob
	a   *app.App
	ref string
	img engine.Image
	all []doctor.Finding
}

func (l *look) add(check string, s doctor.Severity, next, format string, args ...any) {
	l.all = append(l.all, doctor.Finding{Check: check, Severity: s, Text: fmt.Sprintf(format, args...), Next: next})
}

// examine looks at the image and into the job's container.
func (l *look) examine(ctx context.Context) error {
	files := map[string][]byte{}
	err := l.a.With(func(p *app.Parts) (err error) {
		if l.img, err = p.Engine.InspectImage(ctx, l.environment.Image, ""); err != nil {
			return err
		}
		return l.read(ctx, p.Engine, files)
	})
	if err != nil {
		return err
	}
	programs, uid, err := l.ask(ctx)
	if err != nil {
		return err
	}
	l.firstProcess()
	user := cmp.Or(l.environment.User, "root")
	l.add("user", doctor.OK, "", "scripts run as %s (user ID %s)", user, cmp.Or(uid, "unknown"))
	l.shell(programs)
	l.storage(files[storage.SystemConfig])
	l.subIDs(files, programs, user)
	return l.tools(ctx, programs)
}

// read reads the image's own files, which the job's mounts hide. The container for that is never started,
// and the job's cleanup finds it.
func (l *look) read(ctx context.Context, e *engine.Engine, into map[string][]byte) error {
	labels := l.id.Labels(job.RoleHelper)
	labels[job.LabelState] = l.x.Dir.ID()
	id, err := e.CreateContainer(ctx, engine.Container{
		Name: l.id.Name() + "-files", Image: l.img.ID, Runtime: l.a.Config.Runtime, Labels: job.ContainerLabels(labels), Cmd: []string{"none"},
	})
	if err != nil {
		return err
	}
	for _, file := range []string{storage.SystemConfig, sysbox.SubUIDFile, sysbox.SubGIDFile, sysbox.PasswdFile} {
		if into[file], err = e.ReadFile(ctx, id, file); err != nil {
			break
		}
	}
	return errors.Join(err, e.RemoveContainer(context.WithoutCancel(ctx), id))
}

// question is a script for any shell that lists these programs of the image, and the user's ID.
func question(programs []string) string {
	return `for p in ` + strings.Join(programs, " ") + `; do command -v "$p" 2>/dev/null; done
echo "uid=$(id -u 2>/dev/null)"
`
}

// toolCommands are the commands of tools whose versions matter.
func toolCommands() (all []string) {
	for _, commands := range known.Tools {
		all = append(all, commands...)
	}
	slices.Sort(all)
	return all
}

// ask runs that script in the job's container.
func (l *look) ask(ctx context.Context) (programs []string, uid string, err error) {
	out, err := l.run(ctx, question(append(toolCommands(), "git", "newuidmap")))
	if err != nil {
		return nil, "", fmt.Errorf("a script in the image's shell: %w: %.200s", err, out)
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if id, is := strings.CutPrefix(line, "uid="); is {
			uid = id
		} else if path.IsAbs(line) {
			programs = append(programs, path.Base(line))
		}
	}
	return programs, uid, nil
}

// firstProcess says what the container's first process is, and what becomes of the entrypoint.
func (l *look) firstProcess() {
	command := strings.Join(slices.Concat(l.img.Entrypoint, l.img.Cmd), " ")
	found := sysbox.Recognise(l.img.Entrypoint, l.img.Cmd)
	label := l.img.Labels[job.LabelSystemd]
	switch {
	case !l.environment.Init && found.Systemd:
		l.add("first process", doctor.OK, "", "systemd (the image's command is %.100q); scripts run beside it", command)
	case !l.environment.Init:
		l.add("first process", doctor.OK, "", "systemd (the image's label %s=%.20s)", job.LabelSystemd, label)
	case found.Behind != "":
		l.add("first process", doctor.Note, "if systemd should boot: EXECUTOR_SYSTEMD=true", "the agent; systemd is behind the entrypoint %.100q and does not boot", found.Behind)
	case len(l.img.Entrypoint) > 0:
		l.add("first process", doctor.OK, "", "the agent, which runs the entrypoint %.100q", strings.Join(l.img.Entrypoint, " "))
	default:
		l.add("first process", doctor.OK, "", "the agent; the image has no entrypoint")
	}
}

func (l *look) shell(programs []string) {
	e := l.environment
	text := e.Shell
	if !e.ANSIQuoting {
		text += ", without $'...': the Runner's scripts are adapted to it"
	}
	l.add("shell", doctor.OK, "", "%s", text)
	switch {
	case slices.Contains(programs, "git"):
		l.add("git", doctor.OK, "", "in the image: sources are fetched in the job's container")
	case l.a.Config.Helper.Mode == string(job.HelperJob):
		l.add("git", doctor.Warning, "install git in the image, or set helper.mode = \"auto\"", "not in the image, and helper.mode is \"job\": fetching sources fails")
	default:
		l.add("git", doctor.Note, "to save a container for each job: install git in the image", "not in the image: a helper container fetches sources (%s)", cmp.Or(l.a.Config.Helper.Image, "GitLab's helper image"))
	}
}

// storageFile is the part of a storage.conf that decides where images are
// (containers-storage.conf(5)).
type storageFile struct {
	Storage struct {
		Driver    string `toml:"driver"`
		GraphRoot string `toml:"graphroot"`
		Options   struct {
			MountProgram string `toml:"mount_program"`
			Overlay      struct {
				MountProgram string `toml:"mount_program"`
			} `toml:"overlay"`
		} `toml:"options"`
	} `toml:"storage"`
}

// storage compares the image's storage.conf with what the job sees in its place.
func (l *look) storage(text []byte) {
	sees := fmt.Sprintf("the job sees driver %s and %s/storage on its storage volume", l.environment.Enforced["STORAGE_DRIVER"], storage.Mountpoint)
	if len(text) == 0 {
		l.add("storage.conf", doctor.OK, "", "not in the image; %s", sees)
		return
	}
	var f storageFile
	if err := toml.Unmarshal(text, &f); err != nil {
		l.add("storage.conf", doctor.Note, "nothing: the image's file has no effect", "the image's is not valid TOML%s; %s", doctor.LineOf(err), sees)
		return
	}
	says := []string{}
	for name, value := range map[string]string{
		"driver": f.Storage.Driver, "graphroot": f.Storage.GraphRoot,
		"mount_program": cmp.Or(f.Storage.Options.Overlay.MountProgram, f.Storage.Options.MountProgram),
	} {
		if value != "" {
			says = append(says, fmt.Sprintf("%s %.100s", name, value))
		}
	}
	slices.Sort(says)
	l.add("storage.conf", doctor.OK, "", "the image's says %s, which has no effect; %s", cmp.Or(strings.Join(says, ", "), "nothing on the storage"), sees)
	if root := f.Storage.GraphRoot; root != "" && path.Clean(root) != storage.Mountpoint+"/storage" {
		l.add("storage.conf", doctor.Note, "use the shared images of this machine instead (docs/shared-images.md)", "images that were put into %.100s of the image are not found by the job's tools", root)
	}
}

// subIDs says whether users other than root can build.
func (l *look) subIDs(files map[string][]byte, programs []string, user string) {
	builds := slices.Contains(programs, "podman") || slices.Contains(programs, "buildah")
	root := job.IsRoot(user)
	name, _, _ := strings.Cut(user, ":")
	for _, file := range []string{sysbox.SubUIDFile, sysbox.SubGIDFile} {
		text := files[file]
		_, changed := sysbox.FitSubIDs(text, nil, sysbox.NamespaceSize)
		switch {
		case changed:
			l.add("sub-ids", doctor.Note, fmt.Sprintf("nothing: the executor makes them fit; an image of its own can have user:1:%d", sysbox.NamespaceSize-1),
				"%s has ranges beyond the %d IDs of a container", file, sysbox.NamespaceSize)
		case builds && !root && !hasRange(text, name):
			l.add("sub-ids", doctor.Warning, fmt.Sprintf("add %s:1:%d to it in the image, with %s's own ID left out", name, sysbox.NamespaceSize-1, name),
				"%s has no range for %s: rootless builds have only one user", file, name)
		}
	}
	if builds && !root && !slices.Contains(programs, "newuidmap") {
		l.add("sub-ids", doctor.Warning, "install it in the image (package uidmap or shadow-utils)", "the image has no newuidmap: rootless builds as %s have only one user", name)
	}
	if !slices.ContainsFunc(l.all, func(f doctor.Finding) bool { return f.Check == "sub-ids" }) {
		l.add("sub-ids", doctor.OK, "", "fit the container's user namespace, or are not needed")
	}
}

func hasRange(text []byte, name string) bool {
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+":") {
			return true
		}
	}
	return false
}

// tools lists the versions of container tools, and which are known to fail.
func (l *look) tools(ctx context.Context, programs []string) error {
	versions, err := l.x.Versions(ctx, l.environment)
	if err != nil && ctx.Err() == nil { // a busy machine, or a tool that does not end
		l.add("tools", doctor.Note, "try again when the machine has less to do", "the versions of tools are not known: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		names = append(names, name+" "+versions[name])
	}
	var silent []string
	for _, name := range toolCommands() {
		if slices.Contains(programs, name) && versions[name] == "" {
			silent = append(silent, name)
		}
	}
	if len(names) > 0 || len(silent) == 0 {
		l.add("tools", doctor.OK, "", "%s", cmp.Or(strings.Join(names, ", "), "no container tools of a known kind"))
	}
	if len(silent) > 0 {
		l.add("tools", doctor.Note, "try again when the machine has less to do", "%s did not say their versions within %s", strings.Join(silent, ", "), agent.VersionTime)
	}
	m := machine(l.a, "", "")
	return l.a.With(func(p *app.Parts) error {
		m.Engine = p.Engine
		all := maps.Clone(versions)
		if all == nil {
			all = map[string]string{}
		}
		all[known.Sysbox] = m.SysboxVersion(ctx)
		for _, h := range known.Hits(all) {
			if h.Tool != known.Sysbox { // a finding about the machine
				l.add("tools", doctor.Warning, h.Advice, "%s %s is known bad: %s (%s)", h.Command, h.Number, h.Effect, h.Source)
			}
		}
		return nil
	})
}
