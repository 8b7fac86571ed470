package agentclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/known"
	"gitlab-sysbox-executor/integration/heap"
)

// What may be in a container writes these texts. Whatever they are, nothing but what
// is possible comes of them, and that is small.

// wantBrief wants texts that a line of the log can hold.
func wantBrief(t *testing.T, texts ...string) {
	for _, text := range texts {
		if len(text) > 500 || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("no text for a line: %.600q", text)
		}
	}
}

// request asks for all that an inspection can look for.
var request = agent.InspectRequest{
	SystemdTimeout: time.Minute, EntrypointTimeout: time.Second,
	Mounts: []agent.Mount{{Target: "/a"}, {Target: "/run/b", Spare: "/spare/run/b"}, {Target: "/c\n"}},
}

func wantSystemd(t *testing.T, s *agent.Systemd, limit time.Duration) {
	if s == nil {
		return
	}
	wantBrief(t, append(append([]string{s.State}, s.Failed...), s.Waiting...)...)
	if s.Took < 0 || s.Took > limit || len(s.Failed) > agent.MostUnits || len(s.Waiting) > agent.MostUnits {
		t.Errorf("%+v", s)
	}
}

func wantMounts(t *testing.T, faults []agent.MountFault) {
	for n, f := range faults {
		wantBrief(t, f.Reason)
		if !slices.ContainsFunc(request.Mounts, func(m agent.Mount) bool {
			return m.Target == f.Target && (f.Moved == "" && !f.Restored || f.Moved == m.Spare)
		}) || slices.ContainsFunc(faults[:n], func(g agent.MountFault) bool { return g.Target == f.Target }) {
			t.Errorf("%+v", f)
		}
	}
}

// Each text is read as the answer to each question.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"nonce":"N","response":{"shell":"/bin/bash","ansi_quoting":true,"entrypoint":"ready","uid":1000,"gid":1000,"git":true,"volume_used":1,"limits":{"nofile":1048576,"nproc":32768}}}`,
		`{"nonce":"N","response":{"versions":{"runc":"1.1.12","crun":"1\n","bash":"5.2"}}}`,
		`{"nonce":"N","response":{"error":"x\n","job_fault":true}}`,
		`{"nonce":"N","response":{"entrypoint":"exited","entrypoint_code":999,"entrypoint_fault":"\u001b","systemd":{"state":"running","failed":["a"],"waiting":["b"],"took":5},"mount_faults":[{"target":"/run/b","reason":"x","moved":"/spare/run/b","restored":true}],"overlay_fault":"y"}}`,
		`{"nonce":"N","response":{"uid":-1}}`, `{"nonce":"N","response":{"limits":{"nofile":18446744073709551615}}}`, `[[[[`, `{"response":`, `null`, ``, "\x00",
		`{"nonce":"N","response":{"systemd_fault":"x","systemd":{"state":"degraded","failed":["a.service"],"took":9223372036854775807},"mount_faults":[{"target":"/a","reason":"r"}]}}`,
		`{"nonce":"N","response":{"error":"x"}}`, `{"nonce":1}`, `{}`,
		`{"nonce":"N","response":{"error":"dial tcp 10.0.0.2:80: connect: connection refused"}}`,
		`{"response":{"error":"` + strings.Repeat(`\u001b\n`, 200) + `"}}`,
		`{"nonce":"N","response":{"images":12,"versions":{"podman":"4.3.1"}}}`, `{"nonce":"N","response":{"images":-5}}`, `{"nonce":"N","response":{"images":1e30}}`,
		`{"nonce":"N","response":{"left":["/a: device or resource busy","b\n"]}}`,
		`{"response":{"left":[` + strings.Repeat(`"",`, 300) + `""]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer heap.Bounded(t)()
		checkInspectAnswer(t, text)
		if !json.Valid(text) { // the others would say the same
			return
		}
		checkLookAnswer(t, text)
		checkAwaitAnswer(t, text)
		checkUnmountAnswer(t, text)
		checkVersionsAnswer(t, text)
		checkTidyAnswer(t, text)
	})
}

func checkInspectAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.InspectResponse]
	if err := decode(text, &a); err != nil {
		wantBrief(t, err.Error())
		return
	}
	r := a.Response
	if err := checkInspectResponse(request, &r); err != nil {
		wantBrief(t, err.Error())
		return
	}
	wantBrief(t, r.Error, r.EntrypointFault, r.OverlayFault, r.IsolationFault, r.Shell, string(r.Entrypoint))
	wantSystemd(t, r.Systemd, request.SystemdTimeout)
	wantMounts(t, r.MountFaults)
	if r.UID < 0 || r.UID > mostID || r.GID < 0 || r.GID > mostID || r.EntrypointCode < 0 || r.EntrypointCode > 255 || r.VolumeUsed < 0 || r.VolumeUsed > mostBytes ||
		r.Limits.NoFile > mostFiles || r.Limits.NProc > mostPID || r.Shell != "" && !agent.IsShell(r.Shell) {
		t.Errorf("%+v", r)
	}
	if r.Error != "" && !reflect.DeepEqual(r, agent.InspectResponse{Error: r.Error, JobFault: r.JobFault}) {
		t.Errorf("an error, and more: %+v", r)
	}
}

func checkLookAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.LookResponse]
	if err := decode(text, &a); err != nil {
		wantBrief(t, err.Error())
		return
	}
	checkLookResponse(agent.LookRequest{SystemdTimeout: time.Second, Mounts: request.Mounts}, &a.Response)
	wantBrief(t, a.Response.Error, a.Response.SystemdFault)
	wantSystemd(t, a.Response.Systemd, time.Second)
	wantMounts(t, a.Response.MountFaults)
}

func checkAwaitAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.AwaitResponse]
	if err := decode(text, &a); err != nil {
		wantBrief(t, err.Error())
		return
	}
	checkAwaitResponse(&a.Response)
	wantBrief(t, a.Response.Error)
}

func checkTidyAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.TidyResponse]
	if decode(text, &a) != nil {
		return
	}
	r, err := checkTidyResponse(a.Response)
	if err != nil {
		wantBrief(t, err.Error())
	}
	if r.Images < 0 || r.Images > mostImages || len(r.Versions) > 20 || r.Error != "" {
		t.Errorf("%+v", r)
	}
}

func checkVersionsAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.VersionsResponse]
	if err := decode(text, &a); err != nil {
		wantBrief(t, err.Error())
		return
	}
	versions, err := checkVersions(a.Response)
	if err != nil {
		wantBrief(t, err.Error())
	}
	for command, version := range versions {
		wantBrief(t, command, version)
		if known.Number(version) != version {
			t.Errorf("version %q", version)
		}
	}
	if len(versions) > 20 {
		t.Errorf("%d versions", len(versions))
	}
}

func checkUnmountAnswer(t *testing.T, text []byte) {
	var a agent.Answer[agent.UnmountResponse]
	if err := decode(text, &a); err != nil {
		wantBrief(t, err.Error())
		return
	}
	checkUnmountResponse(&a.Response)
	wantBrief(t, a.Response.Left...)
	if len(a.Response.Left) > mostTexts {
		t.Errorf("%d texts", len(a.Response.Left))
	}
}

func FuzzOutcome(f *testing.F) {
	for _, text := range []string{
		"SCHED 0ms: gomaxprocs=2\n" + `{"nonce":"N1","code":7}` + "\n",
		`{"nonce":"N1","code":137,"signal":"SIGKILL","stopped":true,"survivors":[7,-1,99999999],"usage":{"used":5,"peak":-1,"files":9223372036854775807,"full":["/volume","/tmp","/etc"]}}` + "\nmore",
		`{"nonce":"N1","error":"no such\nuser","job_fault":true}` + "\n", `{"code":0}` + "\n", "{\"nonce\":\"N1\"}", "\n\n\n",
	} {
		f.Add([]byte(text), uint8(3))
	}
	o := agent.ExecRequest{Watch: agent.Watch{Volume: "/volume", TMPDIR: "/tmp"}}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		defer heap.Bounded(t)()
		read := func(size int) *agent.Outcome {
			found := 0
			r := outcomeReader{nonce: "N1", found: func() { found++ }}
			for piece := range slices.Chunk(text, max(1, size)) {
				if n, err := r.Write(piece); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			}
			if len(r.said) > mostSaid || len(r.line) > longestLine {
				t.Errorf("%d and %d bytes are kept", len(r.said), len(r.line))
			}
			if (found == 1) != (r.outcome != nil) || found > 1 {
				t.Errorf("reported %d times: %+v", found, r.outcome)
			}
			return r.outcome
		}
		whole, inPieces := read(len(text)), read(int(size))
		if !reflect.DeepEqual(whole, inPieces) {
			t.Errorf("whole %+v, in pieces of %d %+v", whole, size, inPieces)
		}
		if whole == nil {
			return
		}
		if !bytes.Contains(text, []byte("N1")) {
			t.Errorf("an outcome without the nonce: %+v", whole)
		}
		checkOutcome(o, whole)
		wantBrief(t, whole.Error, whole.Signal)
		u := whole.Usage
		if whole.Code < 0 || whole.Code > 255 || len(whole.Survivors) > mostTexts || whole.Signal != "" && unix.SignalNum(whole.Signal) == 0 ||
			slices.ContainsFunc(whole.Survivors, func(pid int) bool { return pid < 1 || pid > mostPID }) {
			t.Errorf("%+v", whole)
		}
		if u != nil && (u.Used < 0 || u.Peak < 0 || u.Files < 0 || max(u.Used, u.Peak, u.Files) > mostBytes ||
			!slices.Contains([]string{"[]", "[/volume]", "[/tmp]", "[/volume /tmp]"}, fmt.Sprint(u.Full))) {
			t.Errorf("%+v", u)
		}
	})
}
