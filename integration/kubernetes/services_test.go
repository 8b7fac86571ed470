package kubernetes

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// serve is a service that answers on a TCP port, after a second.
func serve(alias, port string, lines ...string) runner.Image {
	return runner.Image{
		Name: buildahImage, Alias: alias, Variables: []runner.Variable{runner.Var("HEALTHCHECK_TCP_PORT", port)},
		Entrypoint: []string{"bash", "-c"}, Command: []string{harness.Lines(append(lines, "sleep 1", `exec perl -MIO::Socket::INET -e '
			my $l = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 5, ReuseAddr => 1) or die;
			print STDERR "listening\n"; while (my $c = $l->accept) { print $c "I am $ARGV[1]\n"; close $c }' `+port+" "+alias)...)},
	}
}

// A job reaches its services by their names, once they are ready. They have its storage volume, its settings and their own
// variables, but not its secrets.
func TestServices(t *testing.T) {
	p := newPlace(t)
	j := job(
		"exec 3<>/dev/tcp/first/7001; cat <&3", "exec 3<>/dev/tcp/second/7002; cat <&3",
		"cat /builds/said", "getent hosts build first second | awk '{print $1}' | sort -u",
	)
	first := serve("first", "7001", "id -u >/builds/said", `echo MINE=$MINE PASSWORD=$PASSWORD DRIVER=$STORAGE_DRIVER TMPDIR=$(stat -c %a $TMPDIR) >>/builds/said`)
	first.Variables = append(first.Variables, runner.Var("MINE", "yes $(x)"))
	second := serve("second", "7002")
	second.Name = builderImage // otherwise both have the same names from their image
	j.Services = []runner.Image{first, second}
	j.Variables = append(j.Variables, runner.Variable{Key: "PASSWORD", Value: "do-not-show"}, runner.Var("CI_DEBUG_SERVICES", "true"))
	r := p.succeed(t, j)
	for _, want := range []string{"I am first", "I am second", "MINE=yes $(x) PASSWORD= DRIVER=vfs TMPDIR=1777", "\n127.0.0.1\n", "[service:first] ", "listening"} {
		if !strings.Contains(r.Log.String(), want) {
			t.Errorf("no %q in\n%s", want, r.Log)
		}
	}
	if strings.Contains(r.Log.String(), "WARNING") {
		t.Error(r)
	}
	p.wantNothing(t)
}

// A service that ends is reported once, with the end of its log, and so is one that is not ready in time. The job goes on.
func TestServicesThatFail(t *testing.T) {
	p := newPlace(t, `services.wait_timeout = "5s"`)
	j := job("echo the job ran")
	dead := runner.Image{Name: buildahImage, Alias: "dead", Entrypoint: []string{"sh", "-c"}, Command: []string{"echo no configuration; exit 3"}}
	late := serve("late", "7001", "sleep 100")
	j.Services = []runner.Image{dead, late}
	r := p.succeed(t, j)
	text := r.Log.String()
	for _, want := range []string{"exit code 3", "no configuration", "no connection to TCP port 7001 within 5s", "\nthe job ran\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%d times %q in\n%s", strings.Count(text, want), want, text)
		}
	}
	j.Services = []runner.Image{{Name: "docker.io/gsx-test/absent:1", PullPolicies: []string{"if-not-present"}}}
	if r := p.Play(j); r.Outcome == runner.Success || !strings.Contains(r.Log.String(), "image docker.io/gsx-test/absent:1") {
		t.Error(r)
	}
	p.wantNothing(t)
}

// All containers of a pod share a network, and with it the names of sockets. A service must not learn the job's environment
// from the agent, hand one over, or start a command in the job container.
func TestHostileServices(t *testing.T) {
	p := newPlace(t)
	attack := `perl -MIO::Socket::UNIX -MSocket -e '
		for my $name ("gitlab-sysbox-executor", "gitlab-sysbox-executor-start") {
			for my $ask ("{\"ask\":\"state\"}", "{\"ask\":\"ready\",\"env\":[\"STOLEN=1\"]}", "{\"command\":[\"/bin/touch\",\"/builds/started\"]}") {
				socket(my $s, AF_UNIX, SOCK_STREAM, 0); my $ok = connect($s, pack_sockaddr_un("\0$name"));
				print "$name connected: ", ($ok ? 1 : 0), "\n"; next unless $ok;
				syswrite($s, "$ask\n"); my $got = ""; sysread($s, $got, 65536); print "$name got: ", length($got), "\n";
			}
		}' >/builds/attack 2>&1`
	j := job("sleep 2; cat /builds/attack; ls /builds", "echo STOLEN=${STOLEN:-no} ENTERED=$ENTERED")
	j.Image.Entrypoint = []string{"bash", "-c", `sleep 3; export ENTERED=yes SECRET=do-not-show; exec "$@"`, "entry"}
	service := runner.Image{Name: buildahImage, Alias: "enemy", Entrypoint: []string{"bash", "-c"}, Command: []string{attack + "; sleep 4; " + strings.Replace(attack, ">/builds", ">>/builds", 1) + "; sleep 1000"}}
	j.Services = []runner.Image{service}
	j.Script = append([]string{"sleep 6"}, j.Script...)
	r := p.succeed(t, j)
	text := r.Log.String()
	for _, want := range []string{"gitlab-sysbox-executor connected: 1", "gitlab-sysbox-executor-start connected: 0", "STOLEN=no ENTERED=yes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, refused := range []string{"started", "gitlab-sysbox-executor-start connected: 1", "do-not-show"} {
		if strings.Contains(text, refused) {
			t.Errorf("%q is in\n%s", refused, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, " got: ") && !strings.HasSuffix(strings.TrimSpace(line), "got: 0") {
			t.Error(line)
		}
	}
	p.wantNothing(t)
}
