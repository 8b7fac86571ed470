package sharedfill

import "gitlab-sysbox-executor/executor/agent"

// Where the fill container sees things. Credentials are below a path in memory.
const (
	newDir  = "/gitlab-sysbox-executor/new"
	oldDir  = "/gitlab-sysbox-executor/old"
	runDir  = "/gitlab-sysbox-executor/run"
	tempDir = newDir + "/.tmp"
)

// toolFunctions define `store DRIVER COMMAND ...`, the tool with a store of the new
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

// Buildah pulls what is there already only when it is told so; podman knows no
// such option, and needs none. $1 driver, $2 reference, $3 credentials.
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

// $1 driver, then the references that go.
const removeScript = toolFunctions + `
driver=$1; shift
for reference; do store "$driver" rmi --force "$reference"; done
`

// What no name leads to goes, others than root may look at the lists, and each
// user gets a copy that is readable by it. $1 driver, then users.
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

// endScript has all on disk before anybody relies on it.
const endScript = `rm -rf ` + tempDir + `; sync -f ` + newDir + ` || sync`

const listScript = `cat "` + newDir + `/$1/0/$1-$2/$2.json"`
