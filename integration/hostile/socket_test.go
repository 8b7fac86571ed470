package hostile

import (
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// takeSocket closes the socket of the container's first process for new connections, as root with CAP_SYS_PTRACE can.
const takeSocket = `perl -e '
	open(my $sockets, "<", "/proc/net/unix") or die;
	my ($inode) = map { (split)[6] } grep { / 00010000 .*\@gitlab-sysbox-executor-start$/ } <$sockets>;
	opendir(my $fds, "/proc/1/fd") or die;
	my ($fd) = grep { (readlink("/proc/1/fd/$_") // "") eq "socket:[$inode]" } readdir($fds);
	my $process = syscall(434, 1, 0); # pidfd_open
	my $socket = syscall(438, $process, $fd + 0, 0); # pidfd_getfd
	die "$!" if $socket < 0;
	syscall(48, $socket, 2) == 0 or die "$!"; # shutdown
	print "taken\n"'`

// A job that takes the agent's socket away gets its later stages from the engine.
func TestHostileSocketTakenAway(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[hardening]\ncap_add = [\"SYS_PTRACE\"]\n"})
	compare := p.Unchanged(t)
	j := harness.Job(t, "bookworm", takeSocket)
	j.AfterScript = []string{"echo after"}
	since := time.Now()
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "taken")
	harness.WantSaid(t, r, runner.StageAfter, "after")
	execs, err := harness.World.Engine.Events(t.Context(), "exec_create", r.Job.ID, since, time.Now())
	if err != nil || execs < 1 {
		t.Errorf("%d execs: %v", execs, err)
	}
	if took := r.Call(runner.StageAfter).Duration; took > time.Minute {
		t.Errorf("after_script took %s", took)
	}
	compare()
}
