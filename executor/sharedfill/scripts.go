package sharedfill

import "gitlab-sysbox-executor/executor/agent"

// Paths in the fill container. Credentials are below a path in memory.
const (
	newDir  = "/gitlab-sysbox-executor/new"
	oldDir  = "/gitlab-sysbox-executor/old"
	runDir  = "/gitlab-sysbox-executor/run"
	tempDir = newDir + "/.tmp"
)

// toolFunctions define `store DRIVER COMMAND ...`, which runs buildah or podman with a store of the new
// generation.
const toolFunctions = `
tool=$(command -v buildah || command -v podman) ||
	{ echo "neither buildah nor podman is in this image: name another as images.tool_image"; exit 1; }
store() {
	driver=$1; shift
	STORAGE_DRIVER=$driver "$tool" --storage-driver "$driver" --root "` + newDir + `/$driver/0" --runroot "` + runDir + `/$driver" "$@"
}
`

const beginScript = `
chmod 755 ` + newDir + `
if [ -d ` + oldDir + ` ]; then
	for driver; do
		[ ! -d "` + oldDir + `/$driver/0" ] || { mkdir -p "` + newDir + `/$driver"; cp -a --reflink=auto "` + oldDir + `/$driver/0" "` + newDir + `/$driver/"; }
	done
fi
mkdir -p ` + tempDir + `
`

// Buildah only pulls an existing image again with an option. Podman does not have this option, and does
// not need it. Arguments: driver, reference, credentials.
const pullScript = toolFunctions + `
set -- "$1" "$2" "$3" pull --quiet
case $tool in */buildah) set -- "$@" --policy always ;; esac
if [ -n "$3" ]; then
	(umask 077; printf '%s' "$3" >` + runDir + `/auth.json)
	set -- "$@" --authfile ` + runDir + `/auth.json
fi
driver=$1 reference=$2
shift 3
store "$driver" "$@" "$reference" || { code=$?; rm -f ` + runDir + `/auth.json; exit $code; }
rm -f ` + runDir + `/auth.json
`

// Arguments: driver, then the references to remove.
const removeScript = toolFunctions + `
driver=$1; shift
for reference; do store "$driver" rmi --force "$reference"; done
`

// Remove images without a name, make the lists readable for users other than root, and make a readable
// copy for each user. Arguments: driver, then users.
const finishScript = toolFunctions + `
driver=$1; shift
case $tool in
*/buildah) store "$driver" rmi --prune ;;
*) store "$driver" image prune --force ;;
esac
cd "` + newDir + `/$driver"
chmod 755 . 0 0/"$driver"
chmod -R a+rX 0/"$driver"-images 0/"$driver"-layers
for user; do
	[ "$user" = 0 ] || { rm -rf "./$user"; cp -a --reflink=auto 0 "$user"; ` + agent.Path + ` agent shift "$PWD/$user" "$user"; }
done
`

// endScript flushes everything to disk before jobs use it.
const endScript = `rm -rf ` + tempDir + `; sync -f ` + newDir + ` || sync`

const listScript = `cat "` + newDir + `/$1/0/$1-$2/$2.json"`
