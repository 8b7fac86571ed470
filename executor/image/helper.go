package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	helpers "github.com/docker/docker-credential-helpers/credentials"

	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/lazyregexp"
)

// helper is a credential helper: the program docker-credential-NAME on the PATH of the Runner's
// user (https://github.com/docker/docker-credential-helpers).
type helper struct {
	name string // empty for none
	job  bool   // the job named it
}

// helperTimeout limits one call of such a program.
var helperTimeout = 30 * time.Second

var helperName = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

var errHelperName = errors.New("the name of a credential helper is not one of letters, digits, \".\", \"_\" and \"-\"")

// check refuses a name that would start a program that is not a helper. The job can choose the
// name.
func (h helper) check() error {
	if !helperName().MatchString(h.name) {
		return fmt.Errorf("%w: %s", errHelperName, fault.Quote(h.name))
	}
	return nil
}

// list returns the servers for which the program has credentials.
func (h helper) list(ctx context.Context) ([]string, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	p := h.program(ctx)
	servers, err := client.List(p.with)
	if err != nil {
		return nil, p.explain(err)
	}
	return slices.Sorted(maps.Keys(servers)), nil
}

// tokenUser is the user name of an identity token.
const tokenUser = "<token>"

// get returns the credentials for a server; empty if there are none.
func (h helper) get(ctx context.Context, server string) (Credentials, error) {
	if err := h.check(); err != nil {
		return Credentials{}, err
	}
	p := h.program(ctx)
	found, err := client.Get(p.with, server)
	switch {
	case helpers.IsErrCredentialsNotFound(err):
		return Credentials{}, nil
	case err != nil:
		return Credentials{}, p.explain(err)
	case found.Username == tokenUser:
		return Credentials{IdentityToken: found.Secret, Server: server}, nil
	}
	return Credentials{Username: found.Username, Password: found.Secret, Server: server}, nil
}

func (h helper) program(ctx context.Context) *program {
	return &program{ctx: ctx, name: "docker-credential-" + h.name, env: h.environment()}
}

// jobVariables is the prefix of the job's variables in this process's environment.
const jobVariables = "CUSTOM_ENV_"

// environment is the environment of the program. No program gets the job's variables. A program
// that the job named gets only the Runner's variables that it needs to be found and to find its
// settings.
func (h helper) environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		if h.job {
			return name != "PATH" && name != "HOME"
		}
		return strings.HasPrefix(name, jobVariables)
	})
}

// program runs a helper for the library, with a time limit. Its output is not used in errors,
// because it may contain a secret.
type program struct {
	ctx   context.Context
	name  string
	env   []string
	args  []string
	input io.Reader
	err   error
}

func (p *program) with(args ...string) client.Program {
	p.args = args
	return p
}

func (p *program) Input(in io.Reader) { p.input = in }

func (p *program) Output() ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, helperTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, p.name, p.args...)
	c.Stdin, c.Env = p.input, p.env
	var out bytes.Buffer
	c.Stdout = &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	p.err = c.Run()
	if ctx.Err() != nil && p.ctx.Err() == nil {
		p.err = fmt.Errorf("no answer within %s", helperTimeout)
	}
	return out.Bytes(), p.err
}

func (p *program) explain(err error) error {
	switch {
	case p.err != nil:
		err = p.err
	case helpers.IsCredentialsMissingServerURL(err) || helpers.IsCredentialsMissingUsername(err):
	default:
		err = errors.New("its answer is not valid")
	}
	return fmt.Errorf("%s %s: %w", p.name, p.args[0], err)
}
