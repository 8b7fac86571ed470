// Command standin is an OCI runtime wrapper that takes Sysbox's place where Sysbox cannot be
// installed: in the tests, in CI and in `make try`. It is registered under the name sysbox-standin
// on a private engine with user-namespace remapping (scripts/engine.sh), rewrites what the engine
// asks for into what Sysbox would roughly give, and hands over to the ordinary runc.
//
// What it gives, like Sysbox: every capability the machine has, inside a user namespace; no seccomp
// filter, no AppArmor profile, no masked or read-only paths; /sys, /proc and a cgroup namespace of
// the container's own to write to; tmpfs on /run and /run/lock for a container whose first process
// is /sbin/init; a refusal of the host's namespaces and of unknown SYSBOX_ variables.
//
// What it cannot do, and Sysbox does: emulate /proc/sys and /sys through sysbox-fs, trap the system
// calls mount, umount and chown, give each container a range of user IDs of its own, map the IDs of
// mounted volumes (it only hands the top folder of a volume to the container's root), bring implicit
// mounts for /var/lib/docker and the like, protect the container's own cgroup limits.
//
// It is no security boundary and never meant for production.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// object is a JSON object whose unknown fields survive: a typed spec would drop what a newer engine
// writes and this program has not heard of.
type object = map[string]any

// hookCommand makes runc call this program again, once the container's cgroups exist.
const hookCommand = "standin-own-cgroups"

func main() {
	if err := run(os.Args); err != nil {
		report(os.Args[1:], err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 4 && args[1] == hookCommand {
		return ownCgroups(args[2], args[3])
	}
	command, rest := subcommand(args[1:])
	var err error
	switch command {
	case "create", "run":
		err = patchFile(filepath.Join(flagValue(rest, ".", "--bundle", "-bundle", "-b"), "config.json"), patchSpec)
	case "exec":
		// Without a process file runc takes the process from the container's own, patched spec.
		if file := flagValue(rest, "", "--process", "-process", "-p"); file != "" {
			err = patchFile(file, patchProcess)
		}
	}
	if err != nil {
		return err
	}
	runc, err := findRunc()
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", runc, syscall.Exec(runc, append([]string{"runc"}, args[1:]...), os.Environ()))
}

// report says an error where the engine looks for it, in the runtime's log file, to show it to its
// user.
func report(args []string, failure error) {
	fmt.Fprintln(os.Stderr, "sysbox-standin:", failure)
	name := flagValue(args, "", "--log", "-log")
	if name == "" {
		return
	}
	line, _ := json.Marshal(object{"level": "error", "msg": "sysbox-standin: " + failure.Error(), "time": time.Now()})
	if log, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		_, _ = log.Write(append(line, '\n'))
		_ = log.Close()
	}
}

// subcommand splits runc's arguments after the global options, of which all but two take a value.
func subcommand(args []string) (string, []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case !strings.HasPrefix(arg, "-"):
			return arg, args[i+1:]
		case arg == "--debug" || arg == "--systemd-cgroup" || strings.Contains(arg, "="):
		default:
			i++
		}
	}
	return "", nil
}

func flagValue(args []string, fallback string, names ...string) string {
	for i, arg := range args {
		name, value, joined := strings.Cut(arg, "=")
		switch {
		case !slices.Contains(names, name):
		case joined:
			return value
		case i+1 < len(args):
			return args[i+1]
		}
	}
	return fallback
}

func findRunc() (string, error) {
	if path := os.Getenv("STANDIN_RUNC"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("runc"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/runc"
	if _, err := os.Stat(debian); err != nil {
		return "", errors.New("no runc on PATH: install it, or name it in STANDIN_RUNC")
	}
	return debian, nil
}

func patchFile(path string, patch func(object) error) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber() // a float64 would spoil large limits
	var content object
	if err := decoder.Decode(&content); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	if err := patch(content); err != nil {
		return err
	}
	if data, err = json.Marshal(content); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func patchSpec(spec object) error {
	linux, _ := spec["linux"].(object)
	process, _ := spec["process"].(object)
	if linux == nil || process == nil {
		return errors.New("not the spec of a Linux container")
	}
	if err := patchNamespaces(linux); err != nil {
		return err
	}
	delete(linux, "seccomp")
	// An overmounted /proc or /sys makes the kernel refuse the mounts of inner containers.
	linux["maskedPaths"] = []any{}
	linux["readonlyPaths"] = []any{}

	uid, gid := rootID(linux, "uidMappings"), rootID(linux, "gidMappings")
	mounts := writableSystemMounts(list(spec["mounts"]))
	if first := list(process["args"]); len(first) > 0 && first[0] == "/sbin/init" {
		mounts = systemdMounts(mounts)
		process["env"] = append(without(list(process["env"]), "container="), "container=private-users")
	}
	spec["mounts"] = mounts
	if err := ownVolumes(mounts, uid, gid); err != nil {
		return err
	}
	if err := addHook(spec, uid, gid); err != nil {
		return err
	}
	return patchProcess(process)
}

// patchNamespaces refuses what Sysbox refuses and adds the cgroup namespace that Sysbox adds.
func patchNamespaces(linux object) error {
	present := map[any]bool{}
	for _, entry := range list(linux["namespaces"]) {
		if namespace, ok := entry.(object); ok {
			present[namespace["type"]] = true
		}
	}
	for _, name := range []string{"user", "pid", "ipc", "uts", "mount", "network"} {
		if !present[name] {
			return fmt.Errorf("a container cannot share the host's %s namespace", name)
		}
	}
	if !present["cgroup"] {
		linux["namespaces"] = append(list(linux["namespaces"]), object{"type": "cgroup"})
	}
	return nil
}

// writableSystemMounts takes "ro" from /sys and the cgroups: what the container's root may write
// there is limited by the owners of the files, since its user namespace is not the host's.
func writableSystemMounts(mounts []any) []any {
	for _, entry := range mounts {
		mount, _ := entry.(object)
		if mount["destination"] == "/sys" || mount["destination"] == "/sys/fs/cgroup" {
			mount["options"] = slices.DeleteFunc(list(mount["options"]), func(o any) bool { return o == "ro" })
		}
	}
	return mounts
}

// systemdMounts adds the tmpfs mounts that Sysbox gives to a systemd container. Like Sysbox it
// drops what is mounted at those very places and is no tmpfs, and puts them below the other
// mounts, so that a bind under /run stays visible.
func systemdMounts(mounts []any) []any {
	var added []any
	for _, tmpfs := range []object{
		{"destination": "/run", "options": []any{"rw", "rprivate", "nosuid", "nodev", "mode=755", "size=64m"}},
		{"destination": "/run/lock", "options": []any{"rw", "rprivate", "noexec", "nosuid", "nodev", "size=4m"}},
	} {
		at := tmpfs["destination"]
		mounts = slices.DeleteFunc(mounts, func(entry any) bool {
			mount, _ := entry.(object)
			return mount["destination"] == at && mount["type"] != "tmpfs"
		})
		if !slices.ContainsFunc(mounts, func(entry any) bool { return entry.(object)["destination"] == at }) {
			tmpfs["type"], tmpfs["source"] = "tmpfs", "tmpfs"
			added = append(added, tmpfs)
		}
	}
	below := slices.IndexFunc(mounts, func(entry any) bool {
		destination, _ := entry.(object)["destination"].(string)
		return strings.HasPrefix(destination, "/run/")
	})
	if below < 0 {
		return append(mounts, added...)
	}
	return slices.Insert(mounts, below, added...)
}

// ownVolumes hands a volume's top folder to the container's root where it still is the host's, as
// that of a freshly made file system is. Sysbox maps the IDs of the whole mount instead.
func ownVolumes(mounts []any, uid, gid int) error {
	for _, entry := range mounts {
		mount, _ := entry.(object)
		source, _ := mount["source"].(string)
		if !strings.Contains(source, "/volumes/") || filepath.Base(source) != "_data" {
			continue // nothing of the host's own is ever touched
		}
		info, err := os.Lstat(source)
		if err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 && info.IsDir() {
			if err := os.Lchown(source, uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// patchProcess makes a process, the container's first or an exec'd one, as free as under Sysbox.
func patchProcess(process object) error {
	for _, entry := range list(process["env"]) {
		variable, _ := entry.(string)
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "SYSBOX_") && !slices.Contains(knownVariables, name) {
			return fmt.Errorf("invalid env var %s; must be one of %v", name, knownVariables)
		}
	}
	have, err := machineCapabilities()
	if err != nil {
		return err
	}
	capabilities := object{"bounding": have}
	user, _ := process["user"].(object)
	if fmt.Sprint(user["uid"]) == "0" {
		for _, set := range []string{"effective", "permitted", "inheritable", "ambient"} {
			capabilities[set] = have
		}
	}
	process["capabilities"] = capabilities
	process["noNewPrivileges"] = false
	delete(process, "apparmorProfile")
	return nil
}

// knownVariables are the SYSBOX_ variables that Sysbox knows; it refuses a process with another one.
var knownVariables = []string{
	"SYSBOX_IGNORE_SYSFS_CHOWN", "SYSBOX_ALLOW_TRUSTED_XATTR", "SYSBOX_HONOR_CAPS",
	"SYSBOX_SYSCONT_MODE", "SYSBOX_SKIP_UID_SHIFT",
}

// machineCapabilities names what this machine lets a process have: to ask for more, such as
// CAP_SYS_RESOURCE on a machine that withholds it, would make every start fail.
func machineCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, after, _ := strings.Cut(string(status), "\nCapBnd:")
	line, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("read CapBnd in /proc/self/status: %w", err)
	}
	var have []string
	for bit, name := range capabilityNames {
		if mask&(1<<bit) != 0 {
			have = append(have, "CAP_"+name)
		}
	}
	return have, nil
}

// capabilityNames is in the order of the kernel's bits (linux/capability.h).
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
	SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE
	SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
	SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// addHook has the container's cgroup folders handed to its root, so that inner engines and systemd
// can make groups below them. With cgroup v2 runc does this itself.
func addHook(spec object, uid, gid int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	hooks, _ := spec["hooks"].(object)
	if hooks == nil {
		hooks = object{}
		spec["hooks"] = hooks
	}
	hooks["createRuntime"] = append(list(hooks["createRuntime"]), object{
		"path": self,
		"args": []string{"sysbox-standin", hookCommand, strconv.Itoa(uid), strconv.Itoa(gid)},
	})
	return nil
}

// ownCgroups runs as that hook: the container's state comes on standard input. Only the folder and
// the lists of processes change hands; the limits stay the host's.
func ownCgroups(uid, gid string) error {
	var state struct{ Pid int }
	if err := json.NewDecoder(os.Stdin).Decode(&state); err != nil {
		return fmt.Errorf("read the container's state: %w", err)
	}
	newUID, err := strconv.Atoi(uid)
	if err != nil {
		return err
	}
	newGID, err := strconv.Atoi(gid)
	if err != nil {
		return err
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/cgroup", state.Pid))
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// hierarchy:controllers:path, the controllers empty for cgroup v2
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 || fields[1] == "" || fields[2] == "/" {
			continue
		}
		folder := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(fields[1], "name="), fields[2])
		for _, path := range []string{folder, folder + "/cgroup.procs", folder + "/tasks"} {
			if err := os.Chown(path, newUID, newGID); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// rootID tells which ID of the host the container's root has.
func rootID(linux object, field string) int {
	for _, entry := range list(linux[field]) {
		mapping, _ := entry.(object)
		if fmt.Sprint(mapping["containerID"]) == "0" {
			id, _ := strconv.Atoi(fmt.Sprint(mapping["hostID"]))
			return id
		}
	}
	return 0
}

func without(values []any, prefix string) []any {
	return slices.DeleteFunc(values, func(value any) bool {
		text, _ := value.(string)
		return strings.HasPrefix(text, prefix)
	})
}

func list(value any) []any {
	values, _ := value.([]any)
	return values
}
