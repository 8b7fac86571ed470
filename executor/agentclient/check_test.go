package agentclient

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

var (
	longText = strings.Repeat("ü\n\x1b", 400)
	longCut  = strings.Repeat("ü  ", 100) + "..."
)

// What an agent reports arrives as far as it is possible.
func TestReports(t *testing.T) {
	request := agent.InspectRequest{
		SystemdTimeout: time.Minute, Tools: &agent.Tools{Settings: storage.Settings{TryIsolation: "rootless"}},
		Mounts: []agent.Mount{{Target: "/a"}, {Target: "/run/b", Spare: "/spare/run/b"}, {Target: "/c", Spare: "/spare/c"}},
	}
	for name, c := range map[string]struct {
		reported, want agent.InspectResponse
		fails          string
	}{
		"a true one": {
			reported: agent.InspectResponse{
				Shell: "/bin/bash", ANSIQuoting: true, Entrypoint: agent.EntrypointExited, EntrypointCode: 3, UID: 1000, GID: 100, Git: true, VolumeUsed: 5,
				Systemd: &agent.Systemd{State: "degraded", Failed: []string{"x.service"}, Took: time.Second}, Limits: sysbox.Limits{NoFile: 1048576, NProc: 32768},
				MountFaults: []agent.MountFault{{Target: "/run/b", Reason: "it is hidden", Moved: "/spare/run/b", Restored: true}},
			},
			want: agent.InspectResponse{
				Shell: "/bin/bash", ANSIQuoting: true, Entrypoint: agent.EntrypointExited, EntrypointCode: 3, UID: 1000, GID: 100, Git: true, VolumeUsed: 5,
				Systemd: &agent.Systemd{State: "degraded", Failed: []string{"x.service"}, Took: time.Second}, Limits: sysbox.Limits{NoFile: 1048576, NProc: 32768},
				MountFaults: []agent.MountFault{{Target: "/run/b", Reason: "it is hidden", Moved: "/spare/run/b", Restored: true}},
			},
		},
		"an error leaves nothing else": {
			reported: agent.InspectResponse{Error: longText, JobFault: true, UID: -5, Shell: "/evil"},
			want:     agent.InspectResponse{Error: longCut, JobFault: true},
		},
		"numbers": {
			reported: agent.InspectResponse{Entrypoint: "none", EntrypointCode: -1, VolumeUsed: -1e18, Limits: sysbox.Limits{NoFile: 1<<64 - 1, NProc: 1<<64 - 1}, Systemd: &agent.Systemd{Took: -1}},
			want:     agent.InspectResponse{Entrypoint: "none", Limits: sysbox.Limits{NoFile: mostFiles, NProc: mostPID}, Systemd: &agent.Systemd{}},
		},
		"greater numbers": {
			reported: agent.InspectResponse{Entrypoint: "none", EntrypointCode: 1 << 40, VolumeUsed: 9e18, Systemd: &agent.Systemd{Took: 1 << 62}, UID: mostID, GID: mostID},
			want:     agent.InspectResponse{Entrypoint: "none", EntrypointCode: 255, VolumeUsed: mostBytes, Systemd: &agent.Systemd{Took: time.Minute}, UID: mostID, GID: mostID},
		},
		"texts and lists": {
			reported: agent.InspectResponse{
				Entrypoint: "none", EntrypointFault: longText, OverlayFault: longText, IsolationFault: longText,
				Systemd:     &agent.Systemd{State: longText, Failed: make([]string, 5000), Waiting: []string{longText}},
				MountFaults: []agent.MountFault{{Target: "/other"}, {Target: "/a", Reason: longText, Moved: "/other", Restored: true}, {Target: "/a"}, {Target: "/c", Restored: true}},
			},
			want: agent.InspectResponse{
				Entrypoint: "none", EntrypointFault: longCut, OverlayFault: longCut, IsolationFault: longCut,
				Systemd:     &agent.Systemd{State: longCut, Failed: make([]string, agent.MostUnits), Waiting: []string{longCut}},
				MountFaults: []agent.MountFault{{Target: "/a", Reason: longCut}, {Target: "/c"}},
			},
		},
		"another shell":      {reported: agent.InspectResponse{Entrypoint: "none", Shell: "/bin/sh\n--evil"}, fails: `shell "/bin/sh\n--evil"`},
		"another entrypoint": {reported: agent.InspectResponse{Entrypoint: "\x1b[1m"}, fails: `entrypoint "\x1b[1m"`},
		"an isolation":       {reported: agent.InspectResponse{Entrypoint: "none", Isolation: "rootless"}, want: agent.InspectResponse{Entrypoint: "none", Isolation: "rootless"}},
		"another isolation":  {reported: agent.InspectResponse{Entrypoint: "none", Isolation: "chroot"}, fails: `isolation "chroot"`},
		"no user":            {reported: agent.InspectResponse{Entrypoint: "none", UID: -1}, fails: "user -1:0"},
		"no group":           {reported: agent.InspectResponse{Entrypoint: "none", GID: mostID + 1}, fails: "user 0:2147483648"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.reported
			err := checkInspectResponse(request, &got)
			if c.fails != "" {
				if err == nil || err.Error() != c.fails {
					t.Errorf("got %v, want %s", err, c.fails)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
	r := agent.InspectResponse{Entrypoint: "none", Systemd: &agent.Systemd{State: "running"}}
	if err := checkInspectResponse(agent.InspectRequest{}, &r); err != nil || r.Systemd != nil {
		t.Errorf("systemd was not to boot, and did: %+v, %v", r.Systemd, err)
	}
}

func TestOtherReports(t *testing.T) {
	look := agent.LookResponse{SystemdFault: longText, Systemd: &agent.Systemd{State: "running"}, MountFaults: []agent.MountFault{{Target: "/x"}}}
	checkLookResponse(agent.LookRequest{}, &look)
	if want := (agent.LookResponse{SystemdFault: longCut}); !reflect.DeepEqual(look, want) {
		t.Errorf("got %+v", look)
	}
	look = agent.LookResponse{Error: longText, SystemdFault: "x"}
	checkLookResponse(agent.LookRequest{}, &look)
	if want := (agent.LookResponse{Error: longCut}); !reflect.DeepEqual(look, want) {
		t.Errorf("got %+v", look)
	}
	await := agent.AwaitResponse{Error: longText}
	if checkAwaitResponse(&await); await.Error != longCut {
		t.Errorf("got %+v", await)
	}
	unmount := agent.UnmountResponse{Left: make([]string, 5000)}
	unmount.Left[0] = longText
	if checkUnmountResponse(&unmount); len(unmount.Left) != mostTexts || unmount.Left[0] != longCut {
		t.Errorf("got %+v", unmount)
	}
}

func TestOutcomes(t *testing.T) {
	watch := agent.Watch{Volume: "/volume", TMPDIR: "/tmp"}
	for name, c := range map[string]struct {
		watch          agent.Watch
		reported, want agent.Outcome
	}{
		"a true one": {
			watch,
			agent.Outcome{Code: 137, Signal: "SIGKILL", Survivors: []int{7, 8}, Usage: &agent.Usage{Used: 5, Peak: 9, Files: 11, Full: []string{"/volume"}}},
			agent.Outcome{Code: 137, Signal: "SIGKILL", Survivors: []int{7, 8}, Usage: &agent.Usage{Used: 5, Peak: 9, Files: 11, Full: []string{"/volume"}}},
		},
		"a lie about disks": {
			watch,
			agent.Outcome{Usage: &agent.Usage{Used: -1e18, Peak: 9e18, Files: -1, Full: []string{"/etc", "/tmp", "/tmp", "\x1b"}}},
			agent.Outcome{Usage: &agent.Usage{Peak: mostBytes, Full: []string{"/tmp"}}},
		},
		"no disk was watched": {
			agent.Watch{},
			agent.Outcome{Usage: &agent.Usage{Used: 5, Full: []string{""}}},
			agent.Outcome{},
		},
		"other lies": {
			watch,
			agent.Outcome{Error: longText, Code: -1, Signal: "SIG\x1b", Survivors: append([]int{-1, 0, 5_000_000_000}, make([]int, 99_999)...)},
			agent.Outcome{Error: longCut},
		},
		"a code beyond": {watch, agent.Outcome{Code: 1000}, agent.Outcome{Code: 255}},
	} {
		t.Run(name, func(t *testing.T) {
			checkOutcome(agent.ExecRequest{Watch: c.watch}, &c.reported)
			if !reflect.DeepEqual(c.reported, c.want) {
				t.Errorf("got %+v %+v, want %+v", c.reported, c.reported.Usage, c.want)
			}
		})
	}
	many := agent.Outcome{Survivors: make([]int, 5000)}
	for n := range many.Survivors {
		many.Survivors[n] = n + 1
	}
	if checkOutcome(agent.ExecRequest{}, &many); len(many.Survivors) != mostTexts {
		t.Errorf("%d survivors", len(many.Survivors))
	}
}

// A version is one of a tool that was asked for.
func TestReportedVersions(t *testing.T) {
	got, err := checkVersions(agent.VersionsResponse{Versions: map[string]string{
		"runc": "1.1\x1b", "crun": strings.Repeat("1.", 500) + "1", "bash": "5.2", "podman": "no number", "buildah": "1.28.2", "dockerd": "28.5.2",
	}})
	if want := map[string]string{"buildah": "1.28.2", "dockerd": "28.5.2"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	got, err = checkVersions(agent.VersionsResponse{Error: longText, Versions: map[string]string{"buildah": "1.28.2"}})
	if err == nil || err.Error() != longCut || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// The facts about an image are those that were asked for, and possible.
func TestHostileImageFacts(t *testing.T) {
	for name, c := range map[string]struct {
		asked string
		got   *agent.ImageFacts
		ok    bool
	}{
		"none":          {"", nil, true},
		"asked":         {"/facts", &agent.ImageFacts{User: "1000:50", WorkingDir: "/srv"}, true},
		"missing":       {"/facts", nil, false},
		"not asked":     {"", &agent.ImageFacts{User: "0", WorkingDir: "/"}, false},
		"a name":        {"/facts", &agent.ImageFacts{User: "root", WorkingDir: "/"}, false},
		"a folder":      {"/facts", &agent.ImageFacts{User: "0", WorkingDir: "srv"}, false},
		"a long folder": {"/facts", &agent.ImageFacts{User: "0", WorkingDir: "/" + strings.Repeat("x", 5000)}, false},
	} {
		r := agent.InspectResponse{Entrypoint: agent.EntrypointNone, Image: c.got}
		if err := checkInspectResponse(agent.InspectRequest{Facts: c.asked}, &r); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
