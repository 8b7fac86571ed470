#!/bin/bash
# A private Kubernetes cluster of one node beside whatever else the machine runs:
#
#   kubernetes.sh start DIR    start it, unless it runs
#   kubernetes.sh env DIR      print KUBECONFIG_ADMIN, KUBECONFIG_EXECUTOR, NAMESPACE, RUNTIME_CLASS, AGENT_IMAGE, HOST
#                              (this machine's address for pods) and CTR (the command that imports images) as shell
#                              assignments
#   kubernetes.sh stop DIR     end everything that it started, and remove DIR
#   kubernetes.sh place        print the DIR that this checkout's tests use
#   kubernetes.sh programs     build its programs (8 to 17 minutes of processor time, once), and print their folder
#
# Its programs come from the Go module proxy, at the versions of scripts/kubernetes/*/go.mod: etcd and Kubernetes as one
# program, containerd, the CNI plugins, and runc. They are in ${GSX_CACHE_DIR:-.cache}/kubernetes-VERSION.
#
# The container runtime is runc with a user namespace for each pod (hostUsers: false), which stands in for Sysbox. Pods
# reach one another and this machine, and nothing beyond it. The machine's firewall is not changed.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kubernetes=v1.36.3
runc=v1.4.3
programs=${GSX_CACHE_DIR:-$repo/.cache}/kubernetes-$kubernetes
bridge=gsxk0
subnet=10.94.0
namespace=gitlab-jobs
node=gsx-node

die() {
	echo "kubernetes.sh: $*" >&2
	exit 1
}

build() {
	[[ -x $programs/runc ]] && return
	local part=$programs.part version=k8s.io/component-base/version
	mkdir -p "$part"
	echo "kubernetes.sh: building the programs of the cluster, in $programs" >&2
	(
		export CGO_ENABLED=0 GOFLAGS=-buildvcs=false
		cd "$repo/scripts/kubernetes/control"
		"${GO:-go}" build -trimpath -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=36" -o "$part/control" .
		cd ../node
		"${GO:-go}" build -trimpath -ldflags '-s -w' -tags 'no_btrfs no_devmapper no_zfs' -o "$part/" tool
		cd ../pause
		"${GO:-go}" build -trimpath -ldflags '-s -w' -o "$part/pause" .
		GOBIN=$part CGO_ENABLED=1 "${GO:-go}" install -tags seccomp "github.com/opencontainers/runc@$runc"
	) >&2
	mv -T "$part" "$programs"
}

# The processes of the cluster name its folder in their command lines.
processes() {
	local file pid
	for file in "$dir"/run/*.pid; do
		[[ -e $file ]] || continue
		pid=$(<"$file")
		if grep -zqF -- "$dir/" "/proc/$pid/cmdline" 2>/dev/null; then echo "$pid"; fi
	done
}

begin() { # NAME COMMAND...
	local name=$1
	shift
	setsid "$@" >"$dir/log/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/run/$name.pid"
}

await() { # SECONDS WHAT COMMAND...
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || die "$what does not come up; its log is in $dir/log"
		sleep 0.3
	done
}

api() { # METHOD PATH [CURL-OPTION...]
	curl -sSf --max-time 30 --cacert "$dir/pki/ca.crt" -H "Authorization: Bearer $(<"$dir/pki/admin.token")" -X "$1" "https://127.0.0.1:26443$2" "${@:3}"
}

create() { # PATH, with the object as JSON on standard input
	api POST "$1" -H 'Content-Type: application/json' --data-binary @- -o /dev/null
}

apply() { # FILE of documents in YAML, which are created
	local kind document
	local documents=()
	mapfile -d '' documents < <(awk 'BEGIN {RS = "---\n"} {printf "%s%c", $0, 0}' "$1")
	for document in "${documents[@]}"; do
		kind=$(sed -n 's/^kind: //p' <<<"$document")
		case $kind in
		Namespace) path=/api/v1/namespaces ;;
		ServiceAccount) path=/api/v1/namespaces/$namespace/serviceaccounts ;;
		Role | RoleBinding) path=/apis/rbac.authorization.k8s.io/v1/namespaces/$namespace/${kind,,}s ;;
		'') continue ;;
		*) die "$1: the kind $kind is not known here" ;;
		esac
		api POST "$path" -H 'Content-Type: application/yaml' --data-binary @- -o /dev/null <<<"$document"
	done
}

certificates() {
	local pki=$dir/pki user group name
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=gsx-ca -keyout "$pki/ca.key" -out "$pki/ca.crt"
	issue() { # NAME SUBJECT EXTENSION
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr"
		openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 -extfile <(echo "$3") -out "$pki/$1.crt"
	}
	issue apiserver /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,IP:$subnet.1,DNS:kubernetes"
	issue kubelet-client /O=system:masters/CN=kube-apiserver "extendedKeyUsage=clientAuth"
	openssl genrsa -out "$pki/accounts.key" 2048
	while read -r name user group; do
		head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$pki/$name.token"
		echo "$(<"$pki/$name.token"),$user,$name${group:+,$group}" >>"$pki/tokens.csv"
		cat >"$pki/$name.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: gsx, cluster: {server: "https://127.0.0.1:26443", certificate-authority: "$pki/ca.crt"}}]
users: [{name: "$name", user: {token: "$(<"$pki/$name.token")"}}]
contexts: [{name: gsx, context: {cluster: gsx, user: "$name"}}]
current-context: gsx
END
	done <<END
admin admin system:masters
controller system:kube-controller-manager
scheduler system:kube-scheduler
node system:node:$node system:nodes
executor gitlab-sysbox-executor
END
}

control_plane() {
	local pki=$dir/pki control=$programs/control
	begin etcd "$control" etcd --data-dir "$dir/etcd" --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
		--listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800 \
		--unsafe-no-fsync --log-level error
	begin kube-apiserver "$control" kube-apiserver --etcd-servers http://127.0.0.1:23790 --secure-port 26443 --bind-address 127.0.0.1 \
		--advertise-address "$subnet.1" --endpoint-reconciler-type none --service-cluster-ip-range 10.95.0.0/24 --authorization-mode Node,RBAC \
		--token-auth-file "$pki/tokens.csv" --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
		--service-account-issuer https://kubernetes --service-account-signing-key-file "$pki/accounts.key" --service-account-key-file "$pki/accounts.key" \
		--kubelet-client-certificate "$pki/kubelet-client.crt" --kubelet-client-key "$pki/kubelet-client.key" --kubelet-preferred-address-types InternalIP \
		--profiling=false
	await 90 "the API server" api GET /readyz
	begin kube-controller-manager "$control" kube-controller-manager --kubeconfig "$pki/controller.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 \
		--secure-port 26257 --use-service-account-credentials --service-account-private-key-file "$pki/accounts.key" --root-ca-file "$pki/ca.crt" --profiling=false
	begin kube-scheduler "$control" kube-scheduler --kubeconfig "$pki/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 --secure-port 26259 --profiling=false
}

runtime() {
	cat >"$dir/containerd.toml" <<END
version = 3
root = "$dir/containerd"
state = "$dir/run/containerd"
[grpc]
  address = "$dir/run/containerd.sock"
[ttrpc]
  address = "$dir/run/containerd.ttrpc"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "gsx-test/pause:latest"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$programs"]
  conf_dir = "$dir/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$programs/runc"
  SystemdCgroup = false
END
	cat >"$dir/cni/10-gsx.conflist" <<END
{"cniVersion": "1.0.0", "name": "gsx", "plugins": [{"type": "bridge", "bridge": "$bridge", "isGateway": false, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$dir/cni-addresses", "ranges": [[{"subnet": "$subnet.0/24", "rangeStart": "$subnet.10"}]]}}]}
END
	PATH="$programs:$PATH" begin containerd "$programs/containerd" --config "$dir/containerd.toml"
	await 30 containerd ctr version
}

ctr() { "$programs/ctr" --address "$dir/run/containerd.sock" --namespace k8s.io "$@"; }

images() {
	local agent=$dir/agent
	(cd "$repo" && CGO_ENABLED=0 "${GO:-go}" build -trimpath -ldflags '-s -w' -o "$agent" ./cmd/agent)
	"${GO:-go}" -C "$repo" run ./cmd/agentimage --name docker.io/gsx-test/agent:latest "$agent" "$dir/agent.tar"
	"${GO:-go}" -C "$repo" run ./cmd/agentimage --name docker.io/gsx-test/pause:latest "$programs/pause" "$dir/pause.tar"
	ctr images import "$dir/pause.tar" >&2
	ctr images import "$dir/agent.tar" >&2
}

kubelet() {
	cat >"$dir/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
oomScoreAdj: 0
makeIPTablesUtilChains: false
localStorageCapacityIsolation: true
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
failSwapOn: false
serializeImagePulls: false
port: 26250
healthzPort: 0
containerRuntimeEndpoint: unix://$dir/run/containerd.sock
podLogsDir: $dir/log/pods
volumePluginDir: $dir/kubelet-plugins
resolvConf: ""
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
END
	PATH="$programs:$PATH" begin kubelet "$programs/control" kubelet --config "$dir/kubelet.yaml" --kubeconfig "$dir/pki/node.kubeconfig" --root-dir "$dir/kubelet" \
		--cert-dir "$dir/pki/kubelet" --hostname-override "$node" --node-ip "$subnet.1"
	await 90 "the node" node_ready
}

node_ready() { api GET "/api/v1/nodes/$node" | tr -d ' \n' | grep -q '"status":"True"[^}]*"type":"Ready"\|"type":"Ready","status":"True"'; }

# The kubelet changes these settings of the kernel.
settings=(vm/overcommit_memory kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes)

objects() {
	await 30 "the controllers" api GET /api/v1/namespaces/default/serviceaccounts/default
	apply "$repo/deploy/kubernetes.yaml"
	# The tests' executor is a user with the account's role.
	create "/apis/rbac.authorization.k8s.io/v1/namespaces/$namespace/rolebindings" <<END
{"metadata": {"name": "tests"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gitlab-sysbox-executor"},
 "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "gitlab-sysbox-executor"}]}
END
	create /apis/node.k8s.io/v1/runtimeclasses <<<'{"metadata": {"name": "gsx-standin"}, "handler": "runc"}'
	await 30 "the namespace's account" api GET "/api/v1/namespaces/$namespace/serviceaccounts/default"
}

start() {
	if [[ -n $(processes) ]]; then
		api GET /readyz >/dev/null || die "a part of the cluster in $dir does not run: stop it first"
		return
	fi
	((EUID == 0)) || die "needs root"
	build
	rm -rf "$dir/run" "$dir/log" "$dir/pki"
	mkdir -p "$dir"/{run,log/pods,pki/kubelet,cni,etcd}
	chmod 700 "$dir/pki" "$dir/etcd"
	for setting in "${settings[@]}"; do echo "$setting $(</proc/sys/$setting)"; done >"$dir/settings"
	find /sys/fs/cgroup -maxdepth 2 -name kubepods >"$dir/others-cgroups"
	certificates >"$dir/log/openssl.log" 2>&1
	ip link add "$bridge" type bridge
	ip address add "$subnet.1/24" dev "$bridge"
	ip link set "$bridge" up
	runtime
	images >"$dir/log/images.log" 2>&1
	control_plane
	kubelet
	objects
}

stop() {
	[[ -d $dir ]] || return 0
	local pid pids id group mount netns setting value
	# Pods end with their containers, not with the kubelet.
	if pid=$(cat "$dir/run/kubelet.pid" 2>/dev/null) && kill "$pid" 2>/dev/null; then
		while [[ -d /proc/$pid ]]; do sleep 0.1; done
	fi
	if [[ -S $dir/run/containerd.sock ]]; then
		for id in $(ctr tasks list -q 2>/dev/null); do ctr tasks kill -s KILL -a "$id" 2>/dev/null || true; done
		for id in $(ctr tasks list -q 2>/dev/null); do ctr tasks delete -f "$id" >/dev/null 2>&1 || true; done
		for id in $(ctr containers list -q 2>/dev/null); do ctr containers delete "$id" >/dev/null 2>&1 || true; done
	fi
	mapfile -t pids < <(processes)
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for _ in {1..30}; do # the API server waits for its clients
		[[ -n $(processes) ]] || break
		sleep 0.1
	done
	for pid in $(processes); do kill -KILL "$pid" 2>/dev/null || true; done
	# Shims name the socket of their containerd.
	while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done < <(pgrep -f -- "containerd-shim-runc-v2 .*-address $dir/run/containerd.sock")
	sleep 0.2
	awk -v dir="$dir/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount" 2>/dev/null || true; done
	# Network namespaces of pods are mounts elsewhere; those of this cluster have an address of its bridge.
	while read -r netns; do
		if ip -n "$netns" -o address 2>/dev/null | grep -qF " $subnet."; then ip netns delete "$netns" || true; fi
	done < <(ip netns list 2>/dev/null | awk '/^cni-/ {print $1}')
	ip link delete "$bridge" 2>/dev/null || true
	while read -r group; do
		grep -qxF "$group" "$dir/others-cgroups" || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done < <(find /sys/fs/cgroup -maxdepth 2 -name kubepods)
	while read -r setting value; do echo "$value" >"/proc/sys/$setting"; done <"$dir/settings" || true
	find /var/log/containers /var/log/pods -maxdepth 1 -lname "$dir/*" -delete 2>/dev/null || true
	rmdir /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet /var/lib/cni /run/netns 2>/dev/null || true
	rm -rf --one-file-system "$dir"
}

command=${1:-}
dir=${2:-}
case $command in
place) echo "${GSX_CLUSTER_DIR:-/var/tmp/gsx-kubernetes}" ;;
programs) build && echo "$programs" ;;
start | env | stop)
	[[ $dir == /* ]] || die "usage: kubernetes.sh $command DIR, an absolute path"
	if [[ $command == env ]]; then
		cat <<END
KUBECONFIG_ADMIN=$dir/pki/admin.kubeconfig
KUBECONFIG_EXECUTOR=$dir/pki/executor.kubeconfig
NAMESPACE=$namespace
RUNTIME_CLASS=gsx-standin
AGENT_IMAGE=docker.io/gsx-test/agent:latest
HOST=$subnet.1
CTR='$programs/ctr --address $dir/run/containerd.sock --namespace k8s.io'
END
	else
		"$command"
	fi
	;;
*) die "usage: kubernetes.sh start|env|stop DIR | place | programs" ;;
esac
