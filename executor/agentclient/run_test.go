package agentclient

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
)

// reporting is an agent that runs a script which writes "ran", and then reports outcome;
// NONCE in it is the request's.
func reporting(code int, outcome string) process {
	return func(in *bufio.Reader, stdout, stderr io.Writer) int {
		nonce := nonceOf(in)
		fmt.Fprintln(stdout, "ran")
		_, _ = io.WriteString(stderr, strings.ReplaceAll(outcome, "NONCE", nonce))
		return code
	}
}

func TestRun(t *testing.T) {
	script := Script{Stage: "build_script", Text: []byte("true"), Request: agent.ExecRequest{Shell: "/bin/sh"}}
	for name, c := range map[string]struct {
		process process
		class   fault.Class
		want    string // the error's text; empty for none
	}{
		"success":         {reporting(0, `{"nonce":"NONCE","code":0}`+"\n"), fault.System, ""},
		"failure":         {reporting(3, `{"nonce":"NONCE","code":3}`+"\n"), fault.System, "build_script: exit code 3"},
		"a signal":        {reporting(137, `{"nonce":"NONCE","code":137,"signal":"SIGKILL"}`+"\n"), fault.System, "build_script was ended by SIGKILL (exit code 137)"},
		"its own fault":   {reporting(126, `{"nonce":"NONCE","code":126,"error":"no such\nuser","job_fault":true}`+"\n"), fault.Job, "build_script: no such user"},
		"another's":       {reporting(126, `{"nonce":"NONCE","code":126,"error":"no memory"}`+"\n"), fault.System, "build_script: no memory"},
		"a false success": {reporting(3, "{}\n{\"code\":0}\n{\"nonce\":\"x\",\"code\":0}\n"+`{"nonce":"NONCE","code":3}`+"\n"), fault.System, "build_script: exit code 3"},
		"only a false one": {reporting(0, "{\"code\":0}\n\x1b[1m"), fault.System,
			`build_script: the script's parent process ended with exit code 0: {"code":0}  [1m`},
		"killed with its agent": {reporting(137, ""), fault.System, "build_script was ended by a signal (exit code 137)"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := container(t, c.process).Run(t.Context(), script, &out)
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) || fault.ClassOf(err) != c.class {
				t.Errorf("got %v of class %v, want %q", err, fault.ClassOf(err), c.want)
			}
			if out.String() != "ran\n" {
				t.Errorf("output %q", out.String())
			}
		})
	}
}

// A script that is larger than what fits in between, and an agent that reads none of it.
func TestRunOfALargeScript(t *testing.T) {
	script := Script{Stage: "x", Text: make([]byte, 10<<20)}
	if _, err := container(t, reporting(0, `{"nonce":"NONCE"}`+"\n")).Run(t.Context(), script, io.Discard); err != nil {
		t.Error(err)
	}
	deaf := func(*bufio.Reader, io.Writer, io.Writer) int { return 1 }
	if _, err := container(t, deaf).Run(t.Context(), script, io.Discard); err == nil {
		t.Error("no error")
	}
}

// The end is asked for once, and an agent that does not react is abandoned in time.
func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan byte, 1)
	p := func(in *bufio.Reader, _, stderr io.Writer) int {
		nonce := nonceOf(in)
		cancel()
		b, _ := in.ReadByte()
		asked <- b
		fmt.Fprintf(stderr, `{"nonce":%q,"code":143,"stopped":true}`+"\n", nonce)
		return 143
	}
	_, err := container(t, p).Run(ctx, Script{Stage: "x", Request: agent.ExecRequest{Grace: time.Minute}}, io.Discard)
	if failed, ok := err.(*ScriptError); !ok || !failed.Stopped || failed.Code != 143 || <-asked != agent.Cancel {
		t.Error(err)
	}
}
